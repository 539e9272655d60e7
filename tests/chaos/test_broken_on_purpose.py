"""The engine is broken on purpose: a harness that stays green then has shown nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chaos import zombie
from bench.chaos.fleet import Kill
from bench.chaos.run import Run, running
from bench.chaos.witness import moment

TOLD = 5


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, say=print) as made:
        yield made


def test_without_the_fence_a_zombie_wins_and_is_found_out(run: Run) -> None:
    assert "winner" in zombie.resume(run, "while", unfenced=True).laws()


@pytest.mark.parametrize(("broken", "lost"), [("", False), ("early", True)], ids=["as it is", "acknowledged early"])
def test_an_acknowledgement_before_the_commit_is_found_out(run: Run, broken: str, lost: bool) -> None:
    argv = [sys.executable, "-m", "bench.chaos.submitter", "bench.chaos.broken", "s", "50", "chaos.nap", "1"]
    env = run.place.environment({"ANGELICA_URL": str(run.place.store), "CHAOS_BREAK": broken})
    with subprocess.Popen(argv, env=env, cwd=run.place.directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split()[1] for _ in range(TOLD)]
        process.kill()
    run.kills.append(Kill(moment(), "submitter", frozenset({process.pid})))
    run.ledger.acknowledged.update(dict.fromkeys(told, "chaos.nap"))
    run.ledger.unknown.update({f"s-{n}": "chaos.nap" for n in range(TOLD, 50)})
    assert ("lost" in run.verdict().laws()) is lost
