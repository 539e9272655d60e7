"""What a storage tells of its server: facts, what keeps dead rows, and what makes a promise weaker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from angelica.errors import StorageUnavailable
from angelica.storage.postgres import insight
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import StoreStatus


def with_storage(url: str, story: Callable[[PostgresStorage], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        storage = PostgresStorage(url, **options)
        await storage.open()
        try:
            return await story(storage)
        finally:
            await storage.close()

    return asyncio.run(run())


def status_of(url: str, **options: Any) -> StoreStatus:
    return with_storage(url, lambda storage: storage.status(), **options)


def plain(url: str) -> str:
    """The address as libpq takes it."""
    return url.partition("?")[0]


@contextmanager
def session(url: str, *statements: str, **options: Any) -> Iterator[psycopg.Connection]:
    """A session that is left in a transaction."""
    with psycopg.connect(plain(url), **options) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is half a minute elsewhere, is no time here."""
    monkeypatch.setattr(insight, "WARN_AFTER", 0.0)


def test_facts_of_the_server(postgres_url: str) -> None:
    status = status_of(postgres_url)
    detail = status.detail
    assert detail["server_version"][:2].isdigit()
    assert detail["database_bytes"] > 1_000_000
    assert 1 <= detail["connections"] <= detail["connections_all"] <= detail["max_connections"]
    assert (detail["synchronous_commit"], detail["standby"], detail["fsync"]) == ("on", False, "on")
    assert (abs(detail["clock_apart_ms"]) < 500, detail["clock_ok"]) == (True, True)
    assert (detail["holding_back"], status.warnings) == ([], ())


@pytest.mark.parametrize(
    "statement",
    ["select pg_current_xact_id()", "set transaction isolation level repeatable read; select 1", "select 1"],
    ids=["it has written", "it has a snapshot", "it has only begun"],
)
@pytest.mark.usefixtures("at_once")
def test_an_idle_transaction_is_named_with_its_pid(postgres_url: str, statement: str) -> None:
    with session(postgres_url, *statement.split("; "), application_name="report") as idle:
        status = status_of(postgres_url)
        oldest = status.detail["oldest_transaction"]
        assert (oldest["pid"], oldest["name"], oldest["state"]) == (
            idle.info.backend_pid,
            "report",
            "idle in transaction",
        )
        assert (oldest["xmin_age"] is None) == (statement == "select 1")
        (warning,) = status.warnings
        assert f"pid {idle.info.backend_pid} (report)" in warning.text
        assert warning.fix == f"select pg_terminate_backend({idle.info.backend_pid})"


def test_a_young_transaction_is_no_matter(postgres_url: str) -> None:
    with session(postgres_url, "select pg_current_xact_id()") as idle:
        status = status_of(postgres_url)
        assert status.detail["oldest_transaction"]["pid"] == idle.info.backend_pid
        assert (status.detail["holding_back"], status.warnings) == ([], ())


@pytest.mark.usefixtures("at_once")
def test_what_is_not_told_of_others_is_said_so(postgres_database: str, postgres_cluster: Any) -> None:
    postgres_cluster.run("drop role if exists lodger")
    postgres_cluster.run("create role lodger login")
    name = postgres_database.rpartition("/")[2].partition("?")[0]
    postgres_cluster.run(f"grant create on database {name} to lodger")
    url = postgres_database.replace("postgres@", "lodger@")
    assert url != postgres_database
    with session(postgres_database, "select pg_current_xact_id()", application_name="owner") as idle:
        status = status_of(url)
        assert (status.detail["sees_all"], status.detail["role"]) == (False, "lodger")
        (hidden,) = status.detail["hidden"]
        assert (hidden["pid"], hidden["state"], hidden["xmin_age"] > 0) == (idle.info.backend_pid, None, True)
        (warning,) = status.warnings
        assert f"pid {idle.info.backend_pid} (owner)" in warning.text
        assert "pg_monitor" in warning.text
    postgres_cluster.run(f"drop database {name} with (force)")
    postgres_cluster.run("drop role lodger")
    postgres_cluster.run(f"create database {name}")


class Told:
    """Statements that answer what a test says."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    async def rows(self, verb: str) -> list[Any]:
        return self.answers.get(verb, [])


def pins_of(watch: insight.Insight, **answers: Any) -> list[insight.Pin]:
    return asyncio.run(watch._pins(Told(**answers)))  # type: ignore[arg-type]


def test_one_that_is_not_told_grows_old_while_it_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0, 31_000_000, 32_000_000])
    monkeypatch.setattr(insight, "tick_micros", lambda: next(moments))
    watch = insight.Insight()
    for xmin, age in (("100", 0.0), ("100", 31.0), ("101", 0.0)):
        (pin,) = pins_of(watch, old_transactions=[[7, "theirs", None, None, xmin, 5]])
        assert (pin.hidden, pin.seconds) == (True, age), "another horizon is another transaction"


def test_a_slot_that_nobody_reads_is_old_at_once_and_one_that_is_read_when_it_stands_still() -> None:
    watch = insight.Insight()
    unused, used = pins_of(watch, old_slots=[["gone", False, "100", 5], ["standby", True, "100", 5]])
    assert (unused.seconds >= insight.WARN_AFTER, used.seconds < 1) == (True, True)
    assert unused.fix.startswith("select pg_drop_replication_slot('gone')")
    assert unused.words().startswith("replication slot gone, unused, keeps dead rows")


@pytest.mark.usefixtures("at_once")
def test_a_prepared_transaction_is_named(own_cluster: Any) -> None:
    with (own_cluster.data / "postgresql.conf").open("a") as settings:
        settings.write("max_prepared_transactions = 5\n")
    own_cluster.restart()
    with psycopg.connect(own_cluster.url(), autocommit=True) as other, other.transaction(force_rollback=False):
        other.execute("select pg_current_xact_id()")
        other.execute("prepare transaction 'it''s left'")
    status = status_of(own_cluster.url())
    assert [warning.fix for warning in status.warnings] == ["rollback prepared 'it''s left'"]


@pytest.mark.parametrize(("durability", "kept"), [("full", "on"), ("fast", "off")])
def test_a_server_that_does_not_wait_for_the_disk_does_for_us(
    postgres_database: str, durability: str, kept: str
) -> None:
    name = postgres_database.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute(f"alter database {name} set synchronous_commit = off")  # type: ignore[call-overload]

    async def story(storage: PostgresStorage) -> tuple[StoreStatus, str]:
        async with storage._here()[0].use() as raw:
            return await storage.status(), await raw.fetchval("show synchronous_commit")

    status, ours = with_storage(postgres_database, story, durability=durability)
    assert (ours, status.detail["synchronous_commit"], status.detail["synchronous_commit_default"]) == (
        kept,
        kept,
        "off",
    )
    (warning,) = status.warnings
    assert (warning.about, warning.grave) == ("synchronous_commit", False)


def test_what_is_promised_is_not_lowered_while_we_run(postgres_database: str) -> None:
    name = postgres_database.rpartition("/")[2].partition("?")[0]

    async def story(storage: PostgresStorage) -> str:
        with psycopg.connect(postgres_database, autocommit=True) as other:
            other.execute(f"alter database {name} set synchronous_commit = off")  # type: ignore[call-overload]
        async with storage._here()[0].use() as raw:
            return str(await raw.fetchval("show synchronous_commit"))

    assert with_storage(postgres_database, story) == "on"


def test_through_a_pooler_each_transaction_says_it_for_itself(postgres_database: str) -> None:
    name = postgres_database.rpartition("/")[2].partition("?")[0]
    with_storage(postgres_database, lambda storage: storage.status())
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute(f"alter database {name} set synchronous_commit = off")  # type: ignore[call-overload]
    joint = "&" if "?" in postgres_database else "?"
    assert status_of(f"{postgres_database}{joint}pooler=transaction").detail["synchronous_commit"] == "on"


def test_a_server_without_fsync_is_a_grave_matter(own_cluster: Any) -> None:
    with (own_cluster.data / "postgresql.conf").open("a") as settings:
        settings.write("fsync = off\n")
    own_cluster.restart()
    (warning,) = status_of(own_cluster.url()).warnings
    assert (warning.about, warning.grave) == ("fsync", True)


def test_a_standby_takes_no_writes_and_says_why(own_cluster: Any) -> None:
    with_storage(own_cluster.url(), lambda storage: storage.status())
    own_cluster.stop()
    (own_cluster.data / "standby.signal").touch()
    own_cluster.start()
    with pytest.raises(StorageUnavailable, match="standby"):
        status_of(own_cluster.url())
