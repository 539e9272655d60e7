"""A dead worker's tasks: blamed only if they had begun."""

from __future__ import annotations

import signal

import pytest

from angelica.domain.outcome import Crashed, Released
from angelica.domain.task import Lease, NewTask, Policy, State, Task
from angelica.runtime.settle import Death, judge
from angelica.runtime.startfile import Started

KILLED = Death(42, signal=signal.SIGKILL)


def task(*, max_crashes: int = 3, started_at: int | None = None) -> Task:
    spec = NewTask("t", "f", "{}", 0, 0, policy=Policy(max_crashes=max_crashes))
    return Task(spec, State.RUNNING, attempt=2, worker="w", started_at=started_at)


LEASE = Lease("t", 2)


def test_begun_is_crashed_with_the_signal_named() -> None:
    outcome = judge(task(), Started(running=frozenset({LEASE})), KILLED)
    assert isinstance(outcome, Crashed)
    assert outcome.error.message == "its worker process (pid 42) was killed by SIGKILL"
    assert outcome.error.reason == "crashed"


@pytest.mark.parametrize(
    "started",
    [Started(), Started(running=frozenset({Lease("t", 1)})), Started(ended=frozenset({LEASE}))],
    ids=["held", "another attempt", "ended but not stored"],
)
def test_others_are_released(started: Started) -> None:
    assert judge(task(), started, KILLED) == Released()


def test_an_ended_attempt_that_forgives_no_crash_does_not_run_twice() -> None:
    assert isinstance(judge(task(max_crashes=0), Started(ended=frozenset({LEASE})), KILLED), Crashed)


@pytest.mark.parametrize("started", [None, Started(full=True)], ids=["unreadable", "full"])
def test_without_the_file_the_heartbeat_decides(started: Started | None) -> None:
    assert judge(task(), started, KILLED) == Released()
    assert isinstance(judge(task(started_at=5), started, KILLED), Crashed)


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "was killed by SIGKILL"), (-11, "was killed by SIGSEGV"), (3, "exited with code 3"), (None, "is gone")],
)
def test_death_in_words(code: int | None, words: str) -> None:
    assert Death.of_returncode(1, code).words() == words
