"""The place of a command: private directories, with its files in them, that go when it ends, or with the next start."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from angelica.clock import tick_micros
from angelica.runtime.limits import proc
from angelica.runtime.limits.group import kill_groups, remove_groups

RUN: Final = "run-"
MARK: Final = "TASK_RUN"
"""The variable that every process of a command has in its environment, unless it wiped it."""

_LOCK: Final = "lock"
_BASE_MODE: Final = 0o711  # another user must get through to its own directory, and see nothing on the way
_CHUNK: Final = 1 << 24
_DYING: Final = 2_000_000  # microseconds
_PAUSE: Final = 0.003


class Place:
    """One command's directories: `work` (its working directory), `home` and `tmp`, all 0700 and its user's.

    `owner` is (uid, gid), None: ours. The directory above them is ours and holds a lock for as long as we live:
    what is not locked belongs to nobody any more.
    """

    def __init__(self, base: str, run: str, owner: tuple[int, int] | None, files: Iterable[str]) -> None:
        self._owner = owner
        self._path = Path(base) / f"{RUN}{run}"
        with _guarded(Path(base)):  # a janitor must not come between the directory and its lock
            self._path.mkdir(_BASE_MODE)
            self._path.chmod(_BASE_MODE)  # whatever the umask is
            self._lock = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self.work, self.home, self.tmp = (str(self._directory(name, files)) for name in ("work", "home", "tmp"))
        except BaseException:
            self.remove()
            raise

    def _directory(self, name: str, files: Iterable[str]) -> Path:
        path = self._path / name
        path.mkdir(0o700)
        if name == "work":
            for file in files:
                _copy(Path(file), path, self._owner)
        if self._owner is not None:
            os.chown(path, *self._owner)
        return path

    def note(self, groups: list[str]) -> None:
        """Write down which control groups go with this place, for a janitor that finds it abandoned."""
        os.pwrite(self._lock, json.dumps(groups).encode(), 0)

    def remove(self) -> None:
        """Remove all that is in the place, and the place; nothing of the command may run any more."""
        remove_tree(self._path)
        with suppress(OSError):
            os.close(self._lock)


def open_base(base: str) -> None:
    """Make the directory for places, or check that the one that stands is ours alone; raises `OSError`."""
    path = Path(base)
    with suppress(FileExistsError):
        path.mkdir(_BASE_MODE, parents=True)
        path.chmod(_BASE_MODE)
    found = path.lstat()
    # In /tmp anybody could have been first, with a directory or a link of their own.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "is not a directory that we alone can write to", base)


def sweep(base: str, only: str | None = None) -> list[str]:
    """End what is left of commands whose keeper is dead, and remove their places; return their runs.

    `only` looks at one run, whose keeper is dying at the latest: a lock that it still holds is waited for. Other
    places that are locked have a living keeper and are left alone.
    """
    swept = []
    for path in sorted(Path(base).glob(f"{RUN}{only or '*'}")):
        ends_at = tick_micros() + (0 if only is None else _DYING)
        while (lock := _abandoned(path)) is None and tick_micros() < ends_at and path.exists():
            # The line of a process that is killed closes before its lock does, and the machine may be busy.
            select.select([], [], [], _PAUSE)
        if lock is None:
            continue
        run = path.name.removeprefix(RUN)
        groups = _noted(lock)
        kill_groups(groups)
        for pid in proc.marked(f"{MARK}={run}"):
            proc.kill_family(pid)
            proc.send(pid, 9)
        remove_groups(groups)
        remove_tree(path)
        os.close(lock)
        swept.append(run)
    return swept


def remove_tree(path: Path) -> None:
    """Remove a directory that a stranger filled: of any depth, with links, without rights to its own parts."""
    if _run("rm", "-rf", "--", str(path)) and path.exists():
        _run("chmod", "-R", "u+rwx", "--", str(path))
        _run("rm", "-rf", "--", str(path))


def _run(program: str, *arguments: str) -> int:
    # `rm` walks by descriptors, so that neither a link nor a depth of 10,000 stops or misleads it.
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C"}
    pid = os.posix_spawnp(program, [program, *arguments], environ, file_actions=null)
    with suppress(ChildProcessError):
        return os.waitpid(pid, 0)[1]
    return 0


def _copy(source: Path, directory: Path, owner: tuple[int, int] | None) -> None:
    """Copy a file of the configuration; it stays executable if it was."""
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(reader)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(source))
        writer = os.open(directory / source.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(writer, reader, None, _CHUNK):
                pass
            os.fchmod(writer, 0o700 if found.st_mode & 0o111 else 0o600)
            if owner is not None:
                os.fchown(writer, *owner)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


@contextmanager
def _guarded(base: Path) -> Iterator[None]:
    descriptor = os.open(base / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _abandoned(path: Path) -> int | None:
    """Return the lock of a place, now ours, or None if somebody lives who holds it."""
    with _guarded(path.parent):
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:  # gone since it was listed
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock


def _noted(lock: int) -> list[str]:
    try:
        groups = json.loads(os.pread(lock, 1 << 16, 0))
    except ValueError:
        return []
    return [str(group) for group in groups] if isinstance(groups, list) else []
