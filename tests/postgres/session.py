"""One server for all tests of a pytest run: whoever needs it first starts it, the run's end stops it.

With pytest-xdist the tests run in several processes. They share a directory that the first process, the controller,
names to them; a lock in it says who starts. In each process the tests work in a database of that process, and each
test in a schema of it: that is cheaper than a database for each (see `Schemas`), and what a schema does not keep apart,
channels of NOTIFY and advisory locks, the adapter has to.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.postgres import binaries, leftovers
from tests.postgres.cluster import Cluster
from tests.postgres.server import Server

ROOT = Path(__file__).parents[2]


class Session:
    """What one process of the run knows of it. The directory is made when a server is first needed."""

    def __init__(self, directory: Path, controller: int) -> None:
        self.directory = directory
        self.controller = controller
        self._server: Server | None = None
        self._schemas: Schemas | None = None

    @classmethod
    def begin(cls) -> Session:
        """In the controller: name the directory. Nothing is made or started by that."""
        return cls(_open_place() / f"angelica-pg-{uuid.uuid4().hex[:12]}", os.getpid())

    def server(self) -> Server:
        """The server of the run, started if need be."""
        if self._server is None:
            given = binaries.given_url()
            self._server = Server(given) if given is not None else self._shared()
        return self._server

    def fresh_url(self, *, keep: bool = False) -> str:
        """The URL of a schema that nobody used; the adapter makes it. It is dropped with the test, unless `keep`."""
        return self._made_schemas().fresh(keep=keep)

    def empty_url(self) -> str:
        """The URL of a schema for the adapter that has its tables already, as a rule, with nothing in them."""
        return self._made_schemas().empty()

    def drop_schemas(self) -> None:
        """Drop what `fresh_url` gave out since the last call, and empty what `empty_url` did."""
        if self._schemas is not None:
            self._schemas.drop()

    @contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """A server for who asks, who may stop and kill it; for a fixture of any scope."""
        if binaries.given_url() is not None:
            pytest.skip(f"{binaries.CHOICE} names a server that is not ours to kill")
        cluster = Cluster(self.place("own"))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.remove()

    def place(self, kind: str) -> Path:
        """A name for the directory of one more server, which goes with the run at the latest."""
        with self._lock():
            self._guard()
        return self.directory / f"{kind}-{uuid.uuid4().hex[:8]}"

    def leave(self) -> None:
        """Let go what this process made on a server that stays."""
        if self._schemas is not None and not isinstance(self._server, _Shared):
            self._schemas.close()
        self._schemas = None

    def end(self) -> None:
        """In the controller, at the end: stop and remove everything."""
        self.leave()
        leftovers.sweep(self.directory)

    def _made_schemas(self) -> Schemas:
        if self._schemas is None:
            self._schemas = Schemas(self.server())
        return self._schemas

    def _shared(self) -> Server:
        with self._lock():
            told = self.directory / "server.json"
            if not told.exists():
                self._guard()
                cluster = Cluster(self.directory / "shared")
                cluster.start()
                cluster.let_go()
                told.write_text(json.dumps(cluster.url()), "utf-8")
        return _Shared(json.loads(told.read_text("utf-8")))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with suppress(FileExistsError):
            self.directory.mkdir()
        self.directory.chmod(0o711)  # the servers' user passes through, nobody lists it
        with (self.directory / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _guard(self) -> None:
        """Start the guard, once in a run: it stops the servers when pytest was killed before it could."""
        mark = self.directory / "guarded"
        if mark.exists():
            return
        mark.touch()
        command = [sys.executable, "-m", leftovers.__name__, str(self.controller), str(self.directory)]
        guard = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        guard.returncode = 0  # it outlives us; Popen shall not warn of that


class _Shared(Server):
    """The server of the run, as a test sees it: others use it, so nobody kills it."""


class Schemas:
    """Schemas in a database of this process's own: fresh ones, and those that go from test to test.

    To make and drop a database takes 130 to 330 ms, to make and drop a schema with our tables 100 to 200, to empty them
    5 (PostgreSQL 15 and 18, 2 cores).
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._database = f"angelica_test_{uuid.uuid4().hex[:12]}"
        self._url = server.create_database(self._database)
        self._given: list[str] = []
        self._lent: list[str] = []
        self._empty: list[str] = []
        self._number = 0

    def fresh(self, *, keep: bool = False) -> str:
        name = self._new_name()
        if not keep:
            self._given.append(name)
        return self._address(name)

    def empty(self) -> str:
        name = self._empty.pop() if self._empty else self._new_name()
        self._lent.append(name)
        return self._address(name)

    def _new_name(self) -> str:
        self._number += 1
        return f"test_{self._number}"

    def _address(self, name: str) -> str:
        return f"{self._url}{'&' if '?' in self._url else '?'}schema={name}"

    def drop(self) -> None:
        """Drop the schemas given out, and whoever still holds something in them: a test that failed leaves such.

        Each by itself, because a transaction that drops some hundreds finds no room for its locks.
        """
        given, self._given = self._given, []
        lent, self._lent = self._lent, []
        if not given and not lent:
            return
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute("SET lock_timeout = '1s'")
            for name in lent:
                (self._empty if _emptied(connection, name) else given).append(name)
            for name in given:
                statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name))
                try:
                    connection.execute(statement)
                except psycopg.errors.LockNotAvailable:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                    connection.execute(statement)

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._server.drop_database(self._database)


_EMPTY = """
do $$
declare each record;
begin
    if (select coalesce(sum(pg_relation_size(c.oid)), 0) from pg_class c
        where c.relnamespace = 'SCHEMA'::regnamespace and c.relkind = 'r') > 1000000 then
        raise exception 'too much to delete';
    end if;
    if exists (select 1 from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = 'SCHEMA'::regnamespace and not t.tgisinternal) then
        raise exception 'a test has left a trigger';
    end if;
    for each in select relname from pg_class c where c.relnamespace = 'SCHEMA'::regnamespace and c.relkind = 'r'
        and relname not in ('meta', 'migrations') loop
        execute format('delete from SCHEMA.%I', each.relname);
    end loop;
    delete from SCHEMA.meta where key <> 'store_id';
    update SCHEMA.meta set value = gen_random_uuid()::text;
    perform setval(pg_get_serial_sequence('SCHEMA.runs', 'place'), 1, false);
end $$
"""


def _emptied(connection: psycopg.Connection, name: str) -> bool:
    """Delete all that a test has left in our tables; False where it is better to make them anew."""
    try:
        connection.execute(_EMPTY.replace("SCHEMA", name))
    except psycopg.Error:  # not all tables are there any more, or somebody still holds a row
        return False
    return True


def _open_place() -> Path:
    """The directory for temporary files, or another one if the servers' user cannot reach that."""
    usual = Path(tempfile.gettempdir())
    for place in (usual, Path("/tmp"), Path("/var/tmp")):
        if place.is_dir() and all(each.stat().st_mode & stat.S_IXOTH for each in (place, *place.resolve().parents)):
            return place
    return usual


_current: list[Session] = []


def session() -> Session:
    """The run that this process belongs to."""
    return _current[-1]


def set_session(made: Session | None) -> None:
    """The plugin's: begin and end."""
    _current[:] = [] if made is None else [made]
