"""The private directory of this host in which processes of one store leave files for each other."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from angelica.errors import AngelicaError

_OTHERS = 0o077


def scratch_directory(store: str) -> Path:
    """Return the directory for the store of this address, made where it is missing (mode 0700).

    Raises `AngelicaError` if somebody else has made one of that name.
    """
    name = hashlib.sha256(store.encode()).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"angelica-{os.geteuid()}-{name}"
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    info = directory.lstat()
    if info.st_uid != os.geteuid() or info.st_mode & _OTHERS or not directory.is_dir() or directory.is_symlink():
        raise AngelicaError(f"{directory} must be a private directory of this user; remove it")
    return directory
