"""All that is open while a SQLite storage is: its connections, threads, locks and wake-ups."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from angelica.clock import SECOND, tick_micros
from angelica.domain.fence import Fence
from angelica.errors import StorageError, StorageUnavailable
from angelica.storage.move.fences import KEY, fence_of
from angelica.storage.sql import load_verbs
from angelica.storage.sqlite.connect import Durability, connect, translate
from angelica.storage.sqlite.files import RunDirectory, check_version, file_system, prepare_file
from angelica.storage.sqlite.readers import Readers
from angelica.storage.sqlite.ring import Ring
from angelica.storage.sqlite.schema import initialise, migrate
from angelica.storage.sqlite.storeclock import StoreClock
from angelica.storage.sqlite.transaction import SqliteTransaction
from angelica.storage.sqlite.writer import Writer
from angelica.storage.verbs.transaction import finished

_FENCE: Final = "select value from meta where key = ?"
VERBS: Final[Mapping[str, str]] = load_verbs("angelica.storage.sqlite.queries")


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is opened. `patience` (microseconds) bounds every wait for other processes; `vfs` is for tests.

    A `mover` passes through the fence that it has raised itself, and opens a file that nobody else may.
    """

    durability: Durability = "full"
    auto_migrate: bool = True
    patience: int = 10 * SECOND
    read_bound: int = 10 * SECOND
    vfs: str = ""
    mover: bool = False


class Opened:
    """Made and closed in a worker thread, since both touch the disk."""

    def __init__(self, path: Path, clock: StoreClock, options: Options) -> None:
        check_version(apsw.sqlite_lib_version())
        prepare_file(path)
        self.path = path
        self.options = options
        self.run = RunDirectory(path)
        try:
            self._set_up(clock)
        except apsw.Error as error:
            self.run.close()
            raise translate(error) from error
        except BaseException:
            self.run.close()
            raise

    def _set_up(self, clock: StoreClock) -> None:
        options = self.options
        self.run.enter()
        lock = self.run.open_file("writer.lock")
        write = partial(connect, self.path, durability=options.durability, vfs=options.vfs)
        read = partial(connect, self.path, reader=True, vfs=options.vfs)
        try:
            _take(lock, options.patience)
            _prepare(write(), self.path, clock, options)
            fcntl.flock(lock, fcntl.LOCK_UN)
        except BaseException:
            os.close(lock)
            raise
        self.ring = Ring(self.run.path, self.run.open_file, read)
        self.readers = Readers(read, VERBS, bound=options.read_bound)
        self.writer = Writer(
            write,
            lock,
            VERBS,
            patience=options.patience,
            on_commit=self.ring.committed,
            on_ring=self.ring.ring,
            **({} if options.mover else {"refusal": partial(_refusal, clock)}),
        )

    def close(self) -> None:
        self.writer.close()
        self.readers.close()
        self.ring.close()
        self.run.close()

    def vacuum(self) -> None:
        """Give free pages back to the file system, in line with all writers."""
        lock = self.run.open_file("writer.lock")
        try:
            _take(lock, self.options.patience)
            with closing(connect(self.path, durability=self.options.durability)) as connection:
                connection.execute("vacuum")
        except apsw.Error as error:
            raise translate(error) from error
        finally:
            os.close(lock)

    def sizes(self) -> dict[str, Any]:
        """Return what the file system knows of the file."""
        wal = self.path.with_name(self.path.name + "-wal")
        info = self.path.stat()
        return {
            "path": str(self.path),
            "bytes": info.st_size,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            "mode": f"{info.st_mode & 0o777:04o}",
            "file_system": file_system(self.path.parent),
            "sqlite": apsw.sqlite_lib_version(),
            "durability": self.options.durability,
        }


def _prepare(connection: apsw.Connection, path: Path, clock: StoreClock, options: Options) -> None:
    """Bring the schema up to date and the clocks together; the caller holds the lock."""
    try:
        initialise(connection, path)
        migrate(connection, wall=clock.now().wall, allowed=options.auto_migrate)
        connection.execute("begin immediate")
        finished(clock.agree(SqliteTransaction(connection, VERBS)))
        connection.execute("commit")
        fence = None if options.mover else fence_in(connection)
        if fence is not None:
            fence.check_open()
    finally:
        connection.close()


def fence_in(connection: apsw.Connection) -> Fence | None:
    """Return the fence around the store."""
    rows = connection.execute(_FENCE, (KEY,)).fetchall()
    return fence_of(str(rows[0][0])) if rows else None


def _refusal(clock: StoreClock, connection: apsw.Connection) -> StorageError | None:
    fence = fence_in(connection)
    return None if fence is None else fence.refusal(clock.wall())


def _take(lock: int, patience: int) -> None:
    """Take the writer's lock, or say who is in the way."""
    deadline = tick_micros() + patience
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if tick_micros() > deadline:
                raise StorageUnavailable("another process holds the file, and does not let it go") from None
            pause.wait(0.005)
        else:
            return
