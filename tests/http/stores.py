"""The stores that tests of the API run on: all that can share a process with it, unless a module names fewer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.http.house import House
from tests.storage.adapters import ADAPTERS


def over_stores(metafunc: pytest.Metafunc) -> None:
    """Let tests with a house run once for each store: those of the module's `STORES`, which says why if not all."""
    named = any(mark.args[0] == "store" for mark in metafunc.definition.iter_markers("parametrize"))
    if "house" in metafunc.fixturenames and not named:
        metafunc.parametrize("store", getattr(metafunc.module, "STORES", list(ADAPTERS)), scope="function")


@pytest.fixture
def house(store: str, tmp_path) -> Iterator[House]:
    made = House() if store == "memory" else House(store=partial(ADAPTERS[store], tmp_path))
    yield made
    made.close()
