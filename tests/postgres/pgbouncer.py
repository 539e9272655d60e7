"""PgBouncer in transaction mode: each transaction may meet another session, with what another one left in it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.postgres import binaries, leftovers
from tests.postgres.cluster import free_port
from tests.postgres.server import Server

CHOICE = "ANGELICA_TEST_PGBOUNCER"
PATIENCE = 10.0
# `ignore_startup_parameters` is as it comes, empty: who sets something at the start of a session is refused, as most
# installations refuse it. The pool is small, so that sessions change hands.
INI = """
[databases]
* = host={host} port={port} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir = {directory}
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 200
pidfile = {directory}/pgbouncer.pid
"""


class PgBouncer:
    """In front of `server`, on a port of its own; `directory` is made."""

    def __init__(self, server: Server, directory: Path, *, pool: int = 3) -> None:
        self.directory = directory
        self.port = free_port()
        self.log = directory / "log"
        host, port = server.address
        self._ini = INI.format(host=host, port=port, own=self.port, directory=directory, pool=pool)
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return self.in_front_of(self._server.url(database))

    def in_front_of(self, url: str) -> str:
        """The same database and parameters, through here."""
        return urlunsplit(urlsplit(url)._replace(netloc=f"postgres@127.0.0.1:{self.port}"))

    def start(self) -> None:
        program = find()
        self.directory.mkdir(mode=0o700)
        binaries.own(self.directory)
        settings = self.directory / "pgbouncer.ini"
        settings.write_text(self._ini, "utf-8")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, str(settings)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
                **binaries.as_account(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.remove()
                raise RuntimeError(f"PgBouncer did not start: {self.log.read_text('utf-8')[-2000:]}")
            time.sleep(0.02)

    def remove(self) -> None:
        """Stop it (it keeps nothing) and leave nothing of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
        leftovers.remove(self.directory)

    def _listens(self) -> bool:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port), PATIENCE):
            return True
        return False


def find() -> str:
    # Debian has it where only root looks.
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
    if found is None:
        raise RuntimeError(f"no PgBouncer for the tests: apt-get install pgbouncer, or {CHOICE}=no to go without")
    return found
