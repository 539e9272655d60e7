"""Many nodes on one store, killed, frozen and with clocks apart: each fire once, each missing one explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelica.clock import SECOND
from angelica.domain.fire import task_id_of
from bench.chaos.audit import Entry
from bench.chaos.replay import replay
from bench.chaos.tickers import attack
from tests.schedules.house import START, schedule


@pytest.mark.slow
def test_eight_nodes_under_attack_fire_what_the_oracle_says() -> None:
    outcome = attack(2.5, seed=11, schedules=150)
    assert outcome.faults == []
    figures = outcome.figures
    assert figures["instants"] > figures["fired"] > 50
    assert figures["kills"]
    assert figures["freezes"]
    assert figures["missed"]


WALL = START + 61 * SECOND
FIRST, SECOND_FIRE = START + 60 * SECOND, START + 120 * SECOND


def told():
    """Return what an audit says of a schedule that fired once a minute, twice, its first run over before the second."""
    run = task_id_of("s", FIRST)
    return [
        Entry("fire", FIRST, run, None, FIRST, 1, WALL),
        Entry("enter", run, None, None, None, None, None),
        Entry("move", FIRST, SECOND_FIRE, FIRST, 1, "active", ""),
        Entry("leave", run, None, None, None, None, None),
        Entry("fire", SECOND_FIRE, task_id_of("s", SECOND_FIRE), None, SECOND_FIRE, 1, SECOND_FIRE),
        Entry("enter", task_id_of("s", SECOND_FIRE), None, None, None, None, None),
        Entry("move", SECOND_FIRE, SECOND_FIRE + 60 * SECOND, SECOND_FIRE, 2, "active", ""),
    ]


def faults(entries, until=SECOND_FIRE):
    return replay(schedule(), entries, until).faults


def test_a_right_story_has_no_fault() -> None:
    assert faults(told()) == []


def test_a_pass_may_have_looked_before_a_run_ended() -> None:
    overlapped = Entry("fire", SECOND_FIRE, None, "overlap", SECOND_FIRE, 1, SECOND_FIRE)
    moved = told()[6]._replace(d=1)
    assert faults([*told()[:4], overlapped, moved]) == []
    assert faults([*told()[:3], overlapped, moved]) == []


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda said: said[4:], "expected"),
        (lambda said: said[:4], "without run or reason"),
        (lambda said: [*said, *said[4:]], "decided twice"),
        (lambda said: [*said[:3], *said[4:]], "overlap"),
        (lambda said: [said[0]._replace(b=task_id_of("s", START)), *said[1:]], "the run of"),
        (lambda said: [*said[:2], said[2]._replace(d=2), *said[3:]], "runs count"),
        (lambda said: [*said[:2], said[2]._replace(b=SECOND_FIRE + 1), *said[3:]], "the next fire is"),
        (lambda said: [said[0]._replace(f=WALL + 3_600 * SECOND), *said[1:]], "expected"),
        (lambda said: [said[0]._replace(b=None, c="missed"), *said[1:]], "missed"),
        (lambda said: said[:2], "fires without a move"),
    ],
)
def test_a_wrong_story_is_found_out(break_it, words) -> None:
    assert any(words in fault for fault in faults(break_it(told())))


def test_what_a_bound_ends_needs_no_reason() -> None:
    bounded = schedule(max_runs=2)
    entries = told()
    entries[-1] = entries[-1]._replace(b=None, e="completed", f="max_runs")
    assert replay(bounded, entries, SECOND_FIRE + 3_600 * SECOND).faults == []
    late = replay(replace(bounded, rules=schedule(max_runs=3).rules), entries, SECOND_FIRE + 3_600 * SECOND).faults
    assert any("completed too early" in fault for fault in late)


def test_a_window_without_an_instant_owes_nothing() -> None:
    rules = replace(schedule().rules, start_at=START + 70 * SECOND, end_at=START + 80 * SECOND)
    empty = replace(schedule(), rules=rules, next_fire_at=None)
    assert replay(empty, [], SECOND_FIRE).faults == []
