"""The file of a SQLite storage and the directory beside it: refused where durability could not be kept, and private."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from angelica.errors import SchemaMismatch, StorageUnavailable

MIN_VERSION: Final = (3, 51, 3)
APPLICATION_ID: Final = 0x416E6765
"""`Ange`, in the header of every file of ours."""

_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100
_PRIVATE: Final = 0o700
_NETWORK: Final = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    }
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def check_version(version: str) -> None:
    """Raise `StorageUnavailable` for a SQLite that can lose commits of a WAL file with several connections."""
    found = tuple(int(part) for part in version.split(".")[:3])
    if found < MIN_VERSION:
        need = ".".join(map(str, MIN_VERSION))
        raise StorageUnavailable(
            f"SQLite {version} can corrupt a file that several processes write (sqlite.org/wal.html#walresetbug); "
            f"{need} or newer is needed: pip install --upgrade apsw"
        )


def prepare_file(path: Path) -> None:
    """Make the file (mode 0600) and its directory (0700) where they are missing, and refuse what is not safe to use."""
    for missing in reversed([parent for parent in path.parents if not parent.exists()]):
        # One by one: `parents=True` would give those above the mode of the umask.
        missing.mkdir(mode=_PRIVATE, exist_ok=True)
    refuse_network(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        if path.is_symlink():
            raise StorageUnavailable(f"{path} is a symbolic link: give the path of the file itself") from None
        raise StorageUnavailable(f"{path}: {error.strerror}") from None
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise StorageUnavailable(f"{path} is not a file")
    if info.st_uid != os.geteuid():
        raise StorageUnavailable(f"{path} belongs to user {info.st_uid}, this process runs as {os.geteuid()}")
    refuse_foreign(path)


def refuse_foreign(path: Path) -> None:
    """Raise `SchemaMismatch` if the file is something else than ours; looks without opening it as a database."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if not head:
        return
    if not head.startswith(_MAGIC) or len(head) < _HEADER:
        raise SchemaMismatch(f"{path} is not a SQLite file; it was left as it is")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise SchemaMismatch(f"{path} is a SQLite file of another program; it was left as it is")


def refuse_network(directory: Path, mounts: Path = _MOUNTS) -> None:
    """Raise `StorageUnavailable` on a network file system: its locks and its shared memory cannot be relied on."""
    kind = file_system(directory, mounts)
    if kind in _NETWORK:
        raise StorageUnavailable(
            f"{directory} is on a network file system ({kind}), where SQLite loses data: put the file on a local disk, "
            "or use PostgreSQL"
        )


def file_system(directory: Path, mounts: Path = _MOUNTS) -> str:
    """Return the kind of file system that a directory is on, empty where the system does not say."""
    here = directory.resolve()
    best, kind = -1, ""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        if here.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), right.split()[0]
    return kind


class RunDirectory:
    """`<file>-run/`, mode 0700: locks and sockets. Nothing in it is needed once all processes have ended."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + "-run")
        with suppress(FileExistsError):
            self.path.mkdir(mode=_PRIVATE)
        info = self.path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            raise StorageUnavailable(f"{self.path} must be a directory of the user that runs Angelica")
        if stat.S_IMODE(info.st_mode) != _PRIVATE:
            self.path.chmod(_PRIVATE)
        self._presence = self.open_file("open.lock")

    def open_file(self, name: str) -> int:
        """Return a descriptor of a file in it, made where it is missing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self.path / name, flags, 0o600)
        except OSError as error:
            raise StorageUnavailable(f"{self.path / name}: {error.strerror}") from None

    def enter(self) -> None:
        """Say that this process uses the file, until `close`; refused while a restore replaces it."""
        try:
            fcntl.flock(self._presence, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageUnavailable("the file is being replaced by a restore") from None

    def enter_alone(self) -> None:
        """Take the file for this process alone, until `close`."""
        try:
            fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageUnavailable("the file is in use: stop every process of this engine first") from None

    def close(self) -> None:
        if self._presence >= 0:
            os.close(self._presence)
            self._presence = -1
