"""What the SQLite storage stands on: whatever is open, and the two ways into it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from angelica.errors import StorageUnavailable
from angelica.storage.sqlite.opened import Opened
from angelica.storage.sqlite.transaction import SqliteStatements, SqliteTransaction

R = TypeVar("R")


class SqliteCore:
    """Every verb is one transaction of the process's one writer, or one read beside it."""

    _open: Opened | None = None

    async def _write(self, work: Callable[[SqliteTransaction], Coroutine[Any, Any, R]]) -> R:
        answer: R = await self._opened().writer.call(work)
        return answer

    async def _read(self, work: Callable[[SqliteStatements], Coroutine[Any, Any, R]]) -> R:
        answer: R = await self._opened().readers.read(work)
        return answer

    def _opened(self) -> Opened:
        if self._open is None:
            raise StorageUnavailable("the storage is not open")
        return self._open
