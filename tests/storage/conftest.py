"""The adapters, one after the other, as fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from angelica.clock import ManualClock
from tests.storage.adapters import ADAPTERS
from tests.storage.world import World


@pytest.fixture(params=list(ADAPTERS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = ManualClock()
    with World(ADAPTERS[request.param](tmp_path, clock), clock) as world:
        yield world
        world.prove()
