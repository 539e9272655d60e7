"""Processes are killed, stopped and continued while tasks run: the promises hold (`make chaos` is the long form)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from angelica.clock import SECOND
from angelica.settings import Settings
from bench.chaos import poison, restart, stopping, zombie
from bench.chaos.run import Run, running

LEASE = Settings().lease_ttl / SECOND


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, say=print) as made:
        yield made


def test_everything_is_killed_and_started_again(run: Run) -> None:
    verdict = restart.kill_all(run, tasks=400, milliseconds=50, concurrency=20)
    assert verdict.faults == []
    assert 0 < verdict.figures["interrupted"] <= 20
    assert verdict.figures["extra"] <= verdict.figures["interrupted"] + verdict.figures["unrecorded"]


def test_tasks_of_a_killed_child_run_again_long_before_its_lease_ends(run: Run) -> None:
    verdict, seconds = restart.kill_child(run, tasks=20)
    assert verdict.faults == []
    assert verdict.figures["interrupted"] == 20
    assert seconds < LEASE / 2  # a second or so where nothing else runs: `make chaos` tells


def test_nobody_pays_for_a_stop(run: Run) -> None:
    verdict = stopping.stop(run, grace=0.5, tasks=150)
    assert verdict.faults == []


def test_a_second_signal_hastens_the_stop(run: Run) -> None:
    verdict = stopping.stop(run, grace=60.0, hasten=True, tasks=150)
    assert verdict.faults == []


def test_a_task_that_always_kills_its_worker_ends_as_poison_alone(run: Run) -> None:
    verdict = poison.crash_loop(run)
    assert verdict.faults == []


@pytest.mark.parametrize("when", zombie.WHEN)
def test_a_zombie_cannot_write(run: Run, when: zombie.When) -> None:
    verdict = zombie.resume(run, when)
    assert verdict.faults == []
    assert verdict.figures["refused"] > 0


def test_a_zombie_that_hears_of_its_lost_lease_stops(run: Run) -> None:
    verdict = zombie.resume(run, "while", deaf=False)
    assert verdict.faults == []
    assert verdict.figures["refused"] > 0
