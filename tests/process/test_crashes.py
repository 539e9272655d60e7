"""Crashes: a child that dies in an attempt ends that attempt, with evidence, and nothing else."""

from __future__ import annotations

import os
import signal

import pytest

from angelica.domain.task import State
from tests.process import app
from tests.process.house import attempts_of, children_of, end_of, lives, pid_in, running, until


@pytest.fixture(scope="module")
def engine():
    with running() as engine:
        yield engine


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("segfault", "SegmentationFault", "killed by SIGSEGV"),
        ("exit", "ProcessDied", "exited with code 3"),
        ("abort", "ProcessDied", "killed by SIGABRT"),
        ("kill", "ProcessDied", "killed by SIGKILL"),
    ],
)
def test_who_keeps_dying_is_poison_and_the_evidence_is_kept(engine, how, kind, words):
    handle = app.dies.enqueue(how)
    task = end_of(handle)
    assert (task.state, task.attempt, task.crashes, task.failures) == (State.FAILED, 2, 2, 0)
    assert (task.error.reason, task.error.type) == ("poison", kind)
    assert words in task.error.message
    assert "peak memory was at most" in task.error.message
    assert task.error.message.endswith("last words")
    assert ("in dies" in task.error.stack) == (how in ("segfault", "abort"))
    assert [each.outcome for each in attempts_of(engine, handle)] == ["crashed", "crashed"]


def test_a_kill_from_outside_ends_one_attempt_at_once_and_it_is_tried_again(engine, tmp_path):
    other = app.waits.enqueue(str(tmp_path / "other"), str(tmp_path / "go"))
    other_pid = pid_in(tmp_path / "other")
    handle = app.waits.enqueue(str(tmp_path / "begun"), str(tmp_path / "go"))
    victim = pid_in(tmp_path / "begun")
    (tmp_path / "begun").unlink()
    os.kill(victim, signal.SIGKILL)
    second = pid_in(tmp_path / "begun")
    assert second != victim
    (tmp_path / "go").touch()
    task = end_of(handle)
    assert (task.state, task.attempt, task.crashes, task.failures) == (State.SUCCEEDED, 2, 1, 0)
    assert other.result(20) == other_pid, "it was disturbed"
    assert engine._node.problems == {}


def test_a_child_that_breaks_the_protocol_is_killed(engine):
    task = end_of(app.babbles.enqueue())
    assert (task.state, task.error.reason) == (State.FAILED, "poison")
    assert "it broke the protocol" in task.error.message


def test_a_child_that_dies_idle_harms_no_task(engine):
    pid = app.facts.enqueue().result(20)["pid"]
    for child in children_of():
        os.kill(child, signal.SIGKILL)
    until(lambda: not lives(pid))
    task = end_of(app.facts.enqueue())
    assert (task.state, task.attempt, task.crashes) == (State.SUCCEEDED, 1, 0)


def test_two_engines_have_children_of_their_own(engine):
    with running(engine=app.other):
        pid, name, loaded = app.other_facts.enqueue().result(20)
        assert (name, loaded) == ("second", 0)
        assert app.facts.enqueue().result(20)["pid"] != pid
