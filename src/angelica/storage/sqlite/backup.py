"""Copies of a file while it is in use, and putting one back: by SQLite's online backup, never by copying bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import apsw

from angelica.errors import StorageCorrupt, StorageUnavailable
from angelica.storage.sqlite.connect import connect, translate
from angelica.storage.sqlite.files import RunDirectory, prepare_file, refuse_foreign

Progress = Callable[[int, int], None]
"""Called with (pages done, pages in all)."""

_STEP = 512


def backup_file(source: Path, target: Path, progress: Progress | None = None) -> int:
    """Copy one consistent moment of `source` to `target` (mode 0600) and return its size in bytes; blocks.

    Writers go on meanwhile. The copy appears under its name only when it is complete, checked and on disk.
    Raises `StorageUnavailable` if `target` exists, `StorageCorrupt` if the copy fails its check.
    """
    if target.exists() or target.is_symlink():
        raise StorageUnavailable(f"{target} exists already")
    part = _beside(target, ".part")
    try:
        with closing(connect(source, reader=True)) as from_, closing(_new(part)) as to:
            _copy(from_, to, progress)
            _prove(to, part)
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except apsw.Error as error:
        raise translate(error) from error
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def restore_file(source: Path, target: Path, progress: Progress | None = None) -> Path | None:
    """Put the backup `source` in the place of `target`; return where the former file went, None if there was none.

    Raises `StorageUnavailable` while any process has `target` open, `SchemaMismatch` for a file that is not ours.
    """
    refuse_foreign(source)
    existed = target.exists()
    prepare_file(target)
    run = RunDirectory(target)
    part = _beside(target, ".restore")
    try:
        run.enter_alone()
        with closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as from_, closing(_new(part)) as to:
            _copy(from_, to, progress)
            _prove(to, part)
            # Whoever held a lease when the copy was made does not hold it now.
            to.execute("update workers set lease_until = 0")
        _sync(part)
        former = _set_aside(target) if existed else None
        part.rename(target)
        _sync(target.parent)
    except apsw.Error as error:
        raise translate(error) from error
    finally:
        part.unlink(missing_ok=True)
        run.close()
    return former


def _beside(target: Path, suffix: str) -> Path:
    part = target.with_name(target.name + suffix)
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    return part


def _new(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)


def _copy(from_: apsw.Connection, to: apsw.Connection, progress: Progress | None) -> None:
    # An open snapshot: without it every commit of another process would start the copy again from the first page.
    from_.execute("begin; select count(*) from sqlite_schema").fetchall()
    with to.backup("main", from_, "main") as copy:
        while not copy.done:
            copy.step(_STEP)
            if progress is not None:
                progress(copy.page_count - copy.remaining, copy.page_count)
    from_.execute("commit")


def _prove(copy: apsw.Connection, path: Path) -> None:
    # As one file: a copy in WAL mode would leave files of its own beside it.
    copy.pragma("journal_mode", "delete")
    said = copy.pragma("integrity_check")
    if said != "ok":
        raise StorageCorrupt(f"{path} failed its check: {said}")


def _set_aside(target: Path) -> Path:
    """Move the former file away, with its log folded in."""
    with suppress(apsw.Error), closing(_new(target)) as old:
        old.pragma("wal_checkpoint", "truncate")
    number = 1
    while (former := target.with_name(f"{target.name}.before-restore-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        left = target.with_name(target.name + suffix)
        if left.exists():
            left.rename(former.with_name(former.name + suffix))
    target.rename(former)
    return former


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
