"""The adapters that the storage suites run over: one factory each, given a directory and a clock."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from angelica.clock import Clock
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Storage

Factory = Callable[[Path, Clock], Storage]


def memory(directory: Path, clock: Clock) -> Storage:
    return MemoryStorage(clock)


def sqlite(directory: Path, clock: Clock) -> Storage:
    from angelica.storage.sqlite.adapter import SqliteStorage

    return SqliteStorage(directory / "angelica.db", clock)


ADAPTERS: dict[str, Factory] = {"memory": memory}
if importlib.util.find_spec("angelica.storage.sqlite.adapter"):
    ADAPTERS["sqlite"] = sqlite
