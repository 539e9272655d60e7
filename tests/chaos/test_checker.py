"""The checker finds each fault that is put into a clean record, and none in the clean one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.chaos.checker import Record, check
from bench.chaos.fleet import Kill
from bench.chaos.ledger import Ledger
from bench.chaos.store import Change, Row
from bench.chaos.witness import Line

S = 1_000_000
KILLED, LIVES = 10, 11


def clean() -> Record:
    """Task `a` simply succeeds; `b` is interrupted by a kill and succeeds in its second attempt; `o` only once."""
    return Record(
        ledger=Ledger(acknowledged={"a": "chaos.nap", "b": "chaos.nap", "o": "chaos.once"}),
        witness=[
            Line("start", "a", 1, KILLED, 1 * S),
            Line("end", "a", 1, KILLED, 2 * S),
            Line("start", "b", 1, KILLED, 2 * S),
            Line("start", "o", 1, KILLED, 2 * S),
            Line("start", "b", 2, LIVES, 5 * S),
            Line("end", "b", 2, LIVES, 6 * S),
        ],
        changes=[
            *history("a", (None, "queued", 0, 0), ("queued", "running", 1, 0), ("running", "succeeded", 1, 0)),
            *history("b", (None, "queued", 0, 0), ("queued", "running", 1, 0), ("running", "queued", 1, 1)),
            *history("b", ("queued", "running", 2, 1), ("running", "succeeded", 2, 1)),
            *history("o", (None, "queued", 0, 0), ("queued", "running", 1, 0), ("running", "failed", 1, 1)),
        ],
        rows={
            "a": Row("a", "succeeded", 1, 0, 0, [1, KILLED], None),
            "b": Row("b", "succeeded", 2, 0, 1, [2, LIVES], "crashed"),
            "o": Row("o", "failed", 1, 0, 1, None, "poison"),
        },
        outcomes={("b", 1): "crashed", ("o", 1): "crashed"},
        kills=[Kill(3 * S, "worker", frozenset({KILLED}))],
    )


def history(task_id: str, *steps: tuple[str | None, str, int, int]) -> list[Change]:
    return [Change(task_id, was, now, attempt, 0, crashes) for was, now, attempt, crashes in steps]


def test_a_clean_record_has_no_fault() -> None:
    verdict = check(clean())
    assert verdict.faults == []
    assert verdict.figures["extra"] == 1
    assert verdict.figures["interrupted"] == 2


def lose(record: Record) -> None:
    record.rows = {key: row for key, row in record.rows.items() if key != "a"}


def add_a_phantom(record: Record) -> None:
    record.rows = {**record.rows, "x": replace(record.rows["a"], task_id="x")}


def keep_a_refused_one(record: Record) -> None:
    record.ledger.refused["a"] = record.ledger.acknowledged.pop("a")


def leave_unfinished(record: Record) -> None:
    record.rows = {**record.rows, "a": replace(record.rows["a"], state="queued", result=None)}


def end_twice(record: Record) -> None:
    record.changes = [*record.changes, *history("a", ("running", "succeeded", 1, 0))]


def skip_a_change(record: Record) -> None:
    record.changes = [change for change in record.changes if change.now != "running" or change.task_id != "a"]


def repeat_an_attempt(record: Record) -> None:
    record.changes = [replace(change, attempt=1) if change.attempt == 2 else change for change in record.changes]


def go_where_none_may(record: Record) -> None:
    record.changes = [*record.changes, *history("a", ("succeeded", "queued", 1, 0))]


def win_with_another_result(record: Record) -> None:
    record.rows = {**record.rows, "b": replace(record.rows["b"], result=[1, KILLED])}


def win_unseen(record: Record) -> None:
    record.witness = [line for line in record.witness if (line.event, line.task_id) != ("end", "a")]


def begin_twice(record: Record) -> None:
    record.witness = [*record.witness, Line("start", "b", 2, LIVES, 7 * S)]


def begin_unclaimed(record: Record) -> None:
    record.witness = [*record.witness, Line("start", "a", 2, LIVES, 7 * S)]


def run_once_twice(record: Record) -> None:
    record.witness = [*record.witness, Line("start", "o", 2, LIVES, 7 * S)]


def kill_nobody(record: Record) -> None:
    record.kills = []


def spare_the_guilty(record: Record) -> None:
    record.outcomes = {**record.outcomes, ("b", 1): "released"}


def blame_the_innocent(record: Record) -> None:
    record.witness = [line for line in record.witness if (line.task_id, line.attempt) not in {("b", 1), ("o", 1)}]


def miscount_crashes(record: Record) -> None:
    record.rows = {**record.rows, "a": replace(record.rows["a"], crashes=1)}


def record_too_late(record: Record) -> None:
    record.witness = [*record.witness, Line("end", "b", 1, KILLED, 2 * S)]
    record.kills = [Kill(9 * S, "worker", frozenset({KILLED}))]


def keep_a_lease(record: Record) -> None:
    record.leases = 1


def miscount(record: Record) -> None:
    record.problems = ["queue 'default' has 1 queued tasks, its counter says 2"]


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        (lose, "lost"),
        (add_a_phantom, "phantom"),
        (keep_a_refused_one, "phantom"),
        (leave_unfinished, "unfinished"),
        (end_twice, "once"),
        (skip_a_change, "contiguous"),
        (repeat_an_attempt, "attempts"),
        (go_where_none_may, "legal"),
        (win_with_another_result, "winner"),
        (win_unseen, "winner"),
        (begin_twice, "begun twice"),
        (begin_unclaimed, "unclaimed"),
        (run_once_twice, "at most once"),
        (kill_nobody, "no excuse"),
        (spare_the_guilty, "blame"),
        (blame_the_innocent, "blame"),
        (miscount_crashes, "blame"),
        (record_too_late, "late"),
        (keep_a_lease, "leases"),
        (miscount, "store"),
    ],
)
def test_each_fault_is_found_under_its_law(spoil: Callable[[Record], None], law: str) -> None:
    record = clean()
    spoil(record)
    assert law in check(record).laws()
