"""Replacing children that are worn, and the start and the end of a worker's life with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelica.domain.task import State
from tests.process import app
from tests.process.house import attempts_of, lives, pid_in, running, until


def test_children_are_replaced_by_count():
    with running(process_slots=1, process_max_tasks=3):
        pids = [app.facts.enqueue().result(20)["pid"] for _ in range(6)]
        assert len(set(pids)) == 2
        assert pids == sorted(pids, key=pids.index)


@pytest.mark.parametrize("bound", [{"process_max_memory": 4 << 20}, {"process_max_age": 1}])
def test_children_are_replaced_by_memory_and_by_age(bound):
    with running(process_slots=1, **bound):
        first, second = (app.facts.enqueue().result(20)["pid"] for _ in range(2))
        assert first != second
        until(lambda: not lives(first))


def test_a_stop_of_the_worker_hands_back_what_runs_and_leaves_no_process(tmp_path):
    with running(tmp_path / "a.db", grace=0.2) as engine:
        polite = app.waits.enqueue(str(tmp_path / "polite"), str(tmp_path / "never"))
        stubborn = app.stubborn.using(timeout=60).enqueue(str(tmp_path / "stubborn"))
        pids = [pid_in(tmp_path / "polite"), pid_in(tmp_path / "stubborn")]
    assert not any(lives(pid) for pid in pids)
    engine.settings, before = replace(engine.settings, url=f"sqlite:///{tmp_path}/a.db"), engine.settings
    for handle in map(engine.handle, (polite.id, stubborn.id)):
        task = handle.task
        assert (task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0)
        assert [each.outcome for each in attempts_of(engine, handle)] == ["released"]
    engine.shutdown()
    engine.settings = before
