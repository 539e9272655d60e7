"""The storages by their address; a driver is imported where its storage is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from angelica.clock import Clock, SystemClock
from angelica.errors import AngelicaError, InvalidValue
from angelica.settings import Settings
from angelica.storage.memory import MemoryStorage
from angelica.storage.move.sides import FullSide
from angelica.storage.protocol import Storage
from angelica.storage.sqlite.adapter import SqliteStorage


def make_storage(
    settings: Settings, clock: Clock | None = None, *, chance: Callable[[], float], migrate: bool | None = None
) -> Storage:
    """Return the storage that the settings name, not opened yet; `migrate` overrides the setting `auto_migrate`.

    `clock` is for a store in memory: the others have their own. `chance` returns a number in [0, 1). Raises
    `AngelicaError` if the driver is not installed.
    """
    wanted = settings.auto_migrate if migrate is None else migrate
    path = settings.sqlite_path
    if path is not None:
        return SqliteStorage(path, durability=settings.durability, auto_migrate=wanted is not False)
    if settings.postgres_url is None:
        return MemoryStorage(SystemClock() if clock is None else clock)
    with _driver():
        from angelica.storage.postgres.adapter import PostgresStorage
    return PostgresStorage(
        settings.postgres_url,
        auto_migrate=wanted is True,
        connections=settings.connections,
        durability=settings.durability,
        chance=chance,
    )


def make_side(settings: Settings) -> FullSide:
    """Return the store that the settings name as a side of a move, not opened yet; raises `AngelicaError`.

    Whatever `durability` says, a move has all on disk before it commits: the other store is of no use afterwards.
    """
    path = settings.sqlite_path
    if path is not None:
        from angelica.storage.sqlite.moving import SqliteSide

        return SqliteSide(path, auto_migrate=settings.auto_migrate is not False)
    if settings.postgres_url is None:
        raise InvalidValue("/url", "a store in memory ends with its process", hint="name a file, or postgresql://…")
    with _driver():
        from angelica.storage.postgres.moving import PostgresSide
    return PostgresSide(settings.postgres_url, auto_migrate=settings.auto_migrate is True)


@contextmanager
def _driver() -> Iterator[None]:
    """Say what to install where the driver is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise AngelicaError("PostgreSQL needs its driver: pip install 'angelica[postgres]'") from None
