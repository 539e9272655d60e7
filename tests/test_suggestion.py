"""Suggested limits: what counts, how much room they leave, and that one more run never shrinks them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from angelica.domain.suggestion import ENOUGH, Suggestion, cpu_for, memory_for, shown, suggest, timeout_for
from angelica.domain.task import Attempt, TaskError
from angelica.domain.usage import Usage
from angelica.durations import format_duration
from angelica.runtime.fields import LEAST_MEMORY, resources

MIB = 1 << 20
START = 1_800_000_000 * SECOND


def attempt(took: int, usage: Usage | None = None, outcome: str = "succeeded", reason: str = "") -> Attempt:
    error = TaskError(reason) if reason else None
    return Attempt("t", 1, outcome, "w", START, START + took, error, usage)


USAGES = st.none() | st.builds(
    Usage, st.floats(0, 1e5), st.none() | st.integers(0, 1 << 45), st.sampled_from(["vmhwm", "cgroup v2"])
)
RUNS = st.lists(st.builds(attempt, st.integers(0, 30 * DAY), USAGES), max_size=60)


def test_it_leaves_room_above_what_was_seen() -> None:
    runs = [attempt(n * SECOND, Usage(n / 2, 100 * MIB + n, "vmhwm")) for n in range(1, 21)]
    made = suggest(runs)
    assert (made.runs, made.measured, made.stopped) == (20, 20, 0)
    assert made.run_time is not None
    assert (made.run_time.p95, made.run_time.most) == (19 * SECOND, 20 * SECOND)
    assert made.cpu_share is not None
    assert made.cpu_share.p95 == made.cpu_share.most == 0.5
    assert (made.timeout, made.cpu, made.memory) == (MINUTE, 0.6, 128 * MIB)
    assert shown(made) == 'timeout="1m", resources={"cpu": 0.6, "memory": "128MiB"} (from the latest 20 runs).'
    assert shown(made, command=True).startswith('timeout = "1m", cpu = 0.6, memory = "128MiB" (from')


def test_of_few_runs_it_says_how_many_are_wanted() -> None:
    assert suggest([]) == Suggestion()
    assert shown(suggest([])).startswith("Not enough runs yet: none of the 10 that a suggestion rests on.")
    few = suggest([attempt(SECOND, Usage(1.0, MIB))] * (ENOUGH - 1))
    assert (few.timeout, few.cpu, few.memory, few.runs) == (None, None, None, 9)
    assert shown(few).startswith("Not enough runs yet: 9 of the 10 that a suggestion rests on.")


def test_where_nothing_was_measured_there_is_a_time_out_alone() -> None:
    made = suggest([attempt(SECOND)] * ENOUGH)
    assert (made.timeout, made.cpu, made.memory) == (2 * SECOND, None, None)
    assert shown(made).startswith('timeout="2s" (from the latest 10 runs). CPU time and memory are measured for')


def test_what_was_stopped_at_a_limit_counts_and_is_told_and_what_failed_does_not() -> None:
    good = [attempt(SECOND)] * ENOUGH
    others = [
        attempt(HOUR, None, "failed", "exception"),
        attempt(HOUR, None, "cancelled", "cancelled"),
        attempt(HOUR, Usage(1.0, 1 << 40, "wait4"), "crashed", "crashed"),
        attempt(HOUR, None, "lease_expired", "lease_expired"),
        attempt(HOUR, None, "released"),
        attempt(HOUR, None, "snoozed"),
        replace(attempt(HOUR), started_at=None),
    ]
    assert suggest([*good, *others]) == suggest(good)
    made = suggest([*good, attempt(5 * SECOND, None, "timeout", "timeout")])
    assert (made.runs, made.stopped, made.timeout) == (11, 1, 10 * SECOND)
    assert "1 of them ran into a limit: nobody knows what they would have needed." in shown(made)


def test_the_share_of_short_runs_is_noise() -> None:
    short = suggest([attempt(MILLISECOND, Usage(0.01, 20 * MIB))] * ENOUGH)
    assert (short.cpu_share, short.cpu, short.memory) == (None, None, 32 * MIB)
    assert short.cpu_time is not None


@pytest.mark.parametrize(
    ("share", "cpu"), [(0, 0.1), (0.05, 0.1), (0.5, 0.6), (0.9, 1), (1, 1.5), (1.9, 2.5), (3.7, 5), (7.9, 9)]
)
def test_cpus_come_in_steps(share: float, cpu: float) -> None:
    assert cpu_for(share) == cpu


@given(st.integers(0, 60 * DAY))
def test_a_time_out_is_at_least_twice_the_longest_and_short_to_say(most: int) -> None:
    timeout = timeout_for(most)
    assert timeout >= 2 * most
    assert timeout >= SECOND
    assert len(format_duration(timeout)) <= 4
    assert timeout <= max(5 * most, SECOND, 2 * most + DAY if most > 12 * HOUR else 0)


@given(st.integers(0, 1 << 45))
def test_memory_has_room_but_not_much_and_is_one_that_a_task_may_need(most: int) -> None:
    memory = memory_for(most)
    assert memory >= max(most * 1.25, LEAST_MEMORY)
    assert memory <= max(most * 1.25 * 1.25 + 1, most * 1.25 + 16 * MIB + 1, LEAST_MEMORY)
    assert memory % MIB == 0
    assert resources({"memory": f"{memory // MIB}MiB"}) == {"memory": memory}


@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter_and_the_figures_are_in_order(runs: list[Attempt], random: object) -> None:
    made = suggest(runs)
    shuffled = list(runs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert suggest(shuffled) == made
    for seen in (made.run_time, made.cpu_time, made.cpu_share, made.peak_memory):
        assert seen is None or 0 <= seen.p95 <= seen.most
    assert (made.timeout is not None) == (made.runs >= ENOUGH)
    assert made.stopped <= made.runs
    assert made.measured <= made.runs
    if made.memory is not None and made.peak_memory is not None:
        assert made.memory >= made.peak_memory.most
    if made.cpu is not None and made.cpu_share is not None:
        assert made.cpu >= made.cpu_share.p95


@given(RUNS, st.builds(attempt, st.integers(0, 30 * DAY), USAGES))
def test_one_run_more_never_shrinks_what_must_not_be_too_little(runs: list[Attempt], more: Attempt) -> None:
    before, after = suggest(runs), suggest([*runs, more])
    assert (before.timeout or 0) <= (after.timeout or 0)
    assert (before.memory or 0) <= (after.memory or 0)
