"""The adapters that the storage suites run over: one factory each, given a directory and a clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from angelica.clock import Clock
from angelica.storage.memory import MemoryStorage
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import Storage
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.postgres.session import session

Factory = Callable[[Path, Clock], Storage]


def memory(directory: Path, clock: Clock) -> Storage:
    return MemoryStorage(clock)


def sqlite(directory: Path, clock: Clock) -> Storage:
    return SqliteStorage(directory / "angelica.db", clock)


def postgres(directory: Path, clock: Clock) -> Storage:
    return PostgresStorage(session().empty_url(), clock)


ADAPTERS: dict[str, Factory] = {"memory": memory, "sqlite": sqlite, "postgres": postgres}
