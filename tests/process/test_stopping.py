"""Stopping: politely first, then by force, with all that the attempt has started, and nobody else is hit."""

from __future__ import annotations

import time

import pytest

from angelica.domain.task import State
from tests.process import app
from tests.process.house import children_of, end_of, lives, pid_in, running, until


@pytest.fixture(scope="module")
def engine():
    with running() as engine:
        app.facts.enqueue_many([()] * 20)  # both children are warm before anything is timed
        until(lambda: len(children_of()) == 2)
        for handle in app.facts.enqueue_many([()] * 20):
            handle.wait(20)
        yield engine


def test_a_sleep_under_a_time_out_ends_at_once(engine):
    began = time.monotonic()
    task = end_of(app.sleeps.enqueue(60))
    assert (task.state, task.error.reason, task.error.type) == (State.FAILED, "timeout", "TimeoutError")
    assert task.failures == 1
    assert task.crashes == 0
    assert time.monotonic() - began < 1.0 + 1.0


def test_a_child_that_stopped_politely_stays_warm(engine):
    before = set(children_of())
    assert end_of(app.asleeps.enqueue()).error.reason == "timeout"
    assert set(children_of()) == before


def test_who_ignores_the_polite_stop_is_killed_and_the_others_go_on(engine, tmp_path):
    other = app.waits.enqueue(str(tmp_path / "other"), str(tmp_path / "go"))
    other_pid = pid_in(tmp_path / "other")
    began = time.monotonic()
    handle = app.stubborn.enqueue(str(tmp_path / "begun"))
    pid = pid_in(tmp_path / "begun")
    task = end_of(handle)
    assert (task.state, task.error.reason) == (State.FAILED, "timeout")
    assert 0.6 <= time.monotonic() - began < 3.0
    assert not lives(pid)
    (tmp_path / "go").touch()
    assert other.result(20) == other_pid, "it was disturbed"


@pytest.mark.parametrize("ignore", [False, True])
def test_all_that_an_attempt_has_started_ends_with_it(engine, tmp_path, ignore):
    task = end_of(app.family.enqueue(str(tmp_path), ignore=ignore))
    assert task.error.reason == "timeout"
    pids = [int((tmp_path / name).read_text()) for name in ("plain", "exec", "fork")]
    until(lambda: not any(lives(pid) for pid in pids))


def test_a_cancel_stops_the_handler_at_once(engine, tmp_path):
    handle = app.waits.enqueue(str(tmp_path / "begun"), str(tmp_path / "never"))
    pid = pid_in(tmp_path / "begun")
    handle.cancel("enough")
    task = end_of(handle)
    assert (task.state, task.error.message) == (State.CANCELLED, "enough")
    assert lives(pid), "it stopped politely, so there was no need to kill it"


def test_a_cancel_of_who_ignores_it_kills(engine, tmp_path):
    handle = app.stubborn.using(timeout=60).enqueue(str(tmp_path / "begun"))
    pid = pid_in(tmp_path / "begun")
    handle.cancel("enough")
    assert end_of(handle).state is State.CANCELLED
    assert not lives(pid)
