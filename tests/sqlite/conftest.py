from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from angelica.clock import ManualClock
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.storage.world import World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "angelica.db"


@pytest.fixture
def world(path: Path) -> Iterator[World]:
    clock = ManualClock()
    with World(SqliteStorage(path, clock), clock) as made:
        yield made
