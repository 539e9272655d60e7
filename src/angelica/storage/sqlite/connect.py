"""Connections to the SQLite file: settings that each must have, and its errors in our words."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import apsw

from angelica.errors import StorageCorrupt, StorageError, StorageUnavailable

Durability = Literal["full", "fast"]

BUSY_MILLISECONDS: Final = 50
_WAL_BOUND: Final = 64 * 1024 * 1024
_CHECKPOINT_PAGES: Final = 4000

# What a connection says when the disk or the file under it cannot be trusted any more.
BROKEN: Final = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, apsw.ReadOnlyError)


def connect(path: Path, *, durability: Durability = "full", reader: bool = False, vfs: str = "") -> apsw.Connection:
    """Open one connection. `vfs` names another file layer (for tests that break it)."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs or None, statementcachesize=128)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.execute(
        f"""
        pragma trusted_schema = off;
        pragma cell_size_check = on;
        pragma temp_store = memory;
        pragma mmap_size = 0;
        pragma cache_size = {-4_096 if reader else -32_768};
        """
    )
    if reader:
        connection.execute("pragma query_only = on")
    else:
        connection.execute(
            f"""
            pragma journal_size_limit = {_WAL_BOUND};
            pragma wal_autocheckpoint = {_CHECKPOINT_PAGES};
            pragma synchronous = {"full" if durability == "full" else "normal"};
            """
        )
    return connection


def translate(error: Exception) -> Exception:
    """Return what a caller gets for an exception inside a call; what is not SQLite's own stays."""
    if not isinstance(error, apsw.Error):
        return error
    return _translated(error)


def _translated(error: apsw.Error) -> StorageError:
    said = str(error) or type(error).__name__
    match error:
        case apsw.CorruptError() | apsw.NotADBError():
            return StorageCorrupt(f"SQLite found damage: {said}")
        case apsw.FullError():
            return StorageUnavailable(f"no room left: {said}", retry_after=5.0)
        case apsw.BusyError() | apsw.LockedError():
            return StorageUnavailable("another program holds the file; nothing was written")
        case apsw.InterruptError():
            return StorageUnavailable("the read took too long and was stopped")
        case apsw.ReadOnlyError():
            return StorageUnavailable(f"the file cannot be written: {said}", retry_after=5.0)
        case apsw.IOError() | apsw.CantOpenError():
            return StorageUnavailable(f"the disk failed: {said}", retry_after=5.0)
        case _:
            return StorageUnavailable(f"SQLite refused: {said}")
