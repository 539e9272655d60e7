"""What a handler can do in a child process: all that it can do in the worker."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from angelica.domain.events import TasksEnded
from angelica.domain.task import State
from tests.process import app
from tests.process.house import attempts_of, children_of, end_of, lines_of, running, until

ENDS: list[TasksEnded] = []


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    app.engine.on(TasksEnded, ENDS.append)
    with running(tmp_path_factory.mktemp("process") / "angelica.db", process_slots=1) as engine:
        yield engine


def completion_of(handle):
    """The completion that was written for the last attempt."""
    return until(lambda: [end for event in list(ENDS) for task, end in event.ends if task.id == handle.id])[-1]


def test_a_child_is_a_session_of_its_own_and_inherits_nothing_but_its_line(engine):
    facts = app.facts.enqueue().result(20)
    assert facts["parent"] == os.getpid()
    assert facts["session"] == facts["pid"] != os.getsid(0)
    assert facts["loaded"] == ["plain", "async"]
    assert facts["stdin"] == "/dev/null"
    assert facts["wanted"] == ""
    assert not [name for name in facts["files"] if name.endswith((".db", ".db-wal", ".db-shm"))]


def test_a_child_stays_warm(engine):
    pids = {app.facts.enqueue().result(20)["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert pids <= set(children_of())


def test_arguments_and_results_cross_by_the_annotations(engine):
    assert app.moved.enqueue(app.Point(1, 2), by=3).result(20) == {"x": 4, "y": 5}


def test_coroutines_share_one_loop(engine):
    answers = [app.awaits.enqueue(n).result(20) for n in range(3)]
    assert [n for _, _, n in answers] == [0, 1, 2]
    assert {loops for _, loops, _ in answers} == {1}
    assert os.getpid() not in {pid for pid, _, _ in answers}


def test_middleware_wraps_the_handler_in_the_child(engine):
    answer = app.middled.enqueue().result(20)
    assert answer["inner"] == 1
    assert answer["pid"] in children_of()
    until(lambda: app.succeeded == [os.getpid()])  # the other hooks run where the end is written


def test_the_context_works_and_what_it_says_is_stored(engine):
    handle = app.told.using(labels={"a": "b"}, headers={"tenant": "x"}).enqueue()
    result = handle.result(20)
    assert result == {
        "seen": {"attempt": 1},
        "attempt": 2,
        "failures": 1,
        "remaining": True,
        "cancelled": False,
        "labels": {"a": "b"},
        "headers": {"tenant": "x"},
    }
    task = end_of(handle)
    assert task.checkpoint == '{"attempt":2}'
    assert task.progress == '{"fraction":0.5,"text":"half"}'
    (first,) = attempts_of(engine, handle)
    assert (first.error.type, first.error.message) == ("ValueError", "the first time")
    assert "in told" in first.error.stack
    lines = lines_of(engine, handle)
    assert lines[:4] == ["printed", "logged", "by the context", "no end"]
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("word", "state", "attempts", "reason"),
    [
        ("retry", State.SUCCEEDED, 2, None),
        ("snooze", State.SUCCEEDED, 2, None),
        ("cancel", State.CANCELLED, 1, "cancelled"),
        ("fail", State.FAILED, 1, "fail"),
        ("memory", State.SUCCEEDED, 2, None),
        ("exit", State.SUCCEEDED, 2, None),
    ],
)
def test_a_handler_says_how_its_attempt_ends(engine, word, state, attempts, reason):
    task = end_of(app.signals.enqueue(word))
    assert (task.state, task.attempt, task.crashes) == (state, attempts, 0)
    assert (task.error and task.error.reason) == reason


def test_results_have_the_same_limits(engine):
    large = end_of(app.bad_result.enqueue(100_000))
    assert (large.state, large.error.reason) == (State.FAILED, "result_too_large")
    odd = end_of(app.bad_result.enqueue(0))
    assert (odd.state, odd.error.reason) == (State.FAILED, "result_not_serialisable")


def test_a_child_submits_tasks_by_a_connection_of_its_own(engine):
    for function in (app.child_of, app.achild_of):
        handle = engine.handle(function.enqueue(7).result(20))
        assert handle.result(20) == 7
        assert handle.task.spec.extras.parent_id is not None


def test_what_an_attempt_took_comes_with_its_completion(engine):
    handle = app.burns.enqueue(0.2, 64)
    assert handle.result(20) == 64 << 20
    usage = completion_of(handle).usage
    assert usage.source == "vmhwm"
    assert 0.2 <= usage.cpu_seconds < 2.0
    assert usage.peak_memory > 64 << 20
    after = app.burns.enqueue(0.0, 0)
    assert after.result(20) == 0
    usage = completion_of(after).usage
    assert usage.peak_memory < 64 << 20, "the peak of the one before was not taken back"
    assert usage.cpu_seconds < 0.2


def test_a_flood_of_lines_is_bounded_and_counted(engine):
    handle = app.floods.enqueue(30_000)
    assert end_of(handle).state is State.SUCCEEDED
    lines = lines_of(engine, handle)
    assert lines[0].startswith("line 0 ")
    assert "dropped: faster than" in lines[-1]
    journal = engine._node.journal
    assert journal.pending == 0
    assert journal.errors == 0


def test_a_handler_that_forks_and_comes_back_twice_ends_once(engine):
    handle = app.forks.enqueue()
    assert handle.result(20) in children_of()
    assert app.facts.enqueue().result(20)["pid"] == handle.result(1)


def test_dead_processes_that_a_handler_leaves_are_reaped(engine):
    pid = app.leaves_zombies.enqueue(50).result(20)

    def all_are_reaped() -> bool:
        # On a busy machine some of them have not even ended when the next attempt does.
        assert app.facts.enqueue().result(20)["pid"] == pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii") == ""

    until(all_are_reaped)


def test_nothing_hops_to_threads_of_the_worker(engine):
    before = threading.active_count()
    for n in range(20):
        app.awaits.enqueue(n).result(20)
    assert threading.active_count() <= before
