"""The adapters that the storage suites run over: one factory each, given a directory and a clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from angelica.clock import Clock
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Storage
from angelica.storage.sqlite.adapter import SqliteStorage

Factory = Callable[[Path, Clock], Storage]


def memory(directory: Path, clock: Clock) -> Storage:
    return MemoryStorage(clock)


def sqlite(directory: Path, clock: Clock) -> Storage:
    return SqliteStorage(directory / "angelica.db", clock)


ADAPTERS: dict[str, Factory] = {"memory": memory, "sqlite": sqlite}
