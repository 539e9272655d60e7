"""A limit over worker processes that are killed at random: the store itself watches that it is never exceeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chaos.limited import Plan, Watched, WatchedFile, WatchedServer, attack
from tests.postgres.session import session

SHORT = Plan(tasks=120, rate="60/s", between=(15, 40), patience=100.0)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_kill_lets_more_through_than_a_limit_says(kind: str, tmp_path: Path) -> None:
    """`python -m bench.chaos.limited` is the long form."""
    store: Watched = WatchedFile(tmp_path / "angelica.db")
    if kind == "postgres":
        store = WatchedServer(session().fresh_url())
    verdict = attack(tmp_path, store, SHORT, seed=13)
    assert verdict.faults == []
    assert verdict.figures["kills"] >= 3
