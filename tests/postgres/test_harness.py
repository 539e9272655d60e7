"""The harness itself: servers start, are kept apart, die and come back, and none outlives the run."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql

from tests.postgres.binaries import given_url
from tests.postgres.cluster import Cluster
from tests.postgres.server import Server
from tests.postgres.session import Schemas, session


def test_a_server_of_our_own_keeps_its_promises(postgres_cluster: Server) -> None:
    assert postgres_cluster.version >= 15
    if given_url() is not None:  # whoever gives it knows what for
        return
    assert postgres_cluster.run("SHOW fsync") == [("on",)]
    assert postgres_cluster.run("SHOW max_connections") == [("200",)]


def test_two_databases_do_not_see_each_other(postgres_cluster: Server, postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE mine (x int)")
    assert postgres_cluster.run("SELECT to_regclass('mine')") == [(None,)]


def test_a_killed_server_comes_back_with_what_was_committed(own_cluster: Cluster) -> None:
    own_cluster.run("CREATE TABLE kept AS SELECT 1 AS x")
    port, first = own_cluster.port, own_cluster.pid
    own_cluster.kill_postmaster()
    with pytest.raises(psycopg.OperationalError):
        own_cluster.run("SELECT 1")
    own_cluster.start()
    assert own_cluster.run("SELECT x FROM kept") == [(1,)]
    assert own_cluster.port == port
    assert own_cluster.pid != first


def test_a_server_runs_as_nobody_special(own_cluster: Cluster) -> None:
    if os.geteuid() == 0:
        assert own_cluster.data.stat().st_uid != 0
    assert "Kathmandu" in own_cluster.run("SHOW timezone")[0][0]


def test_a_schema_that_a_failed_test_still_holds_is_dropped(postgres_cluster: Server) -> None:
    schemas = Schemas(postgres_cluster)
    url, name = schemas.fresh().split("?schema=")
    kept = schemas.fresh(keep=True).partition("?schema=")[2]
    with psycopg.connect(url) as holder:
        for each in (name, kept):
            holder.execute(sql.SQL("CREATE SCHEMA {0}; CREATE TABLE {0}.t (x int)").format(sql.Identifier(each)))
        holder.commit()
        holder.execute(sql.SQL("LOCK TABLE {}.t").format(sql.Identifier(name)))
        schemas.drop()
        assert holder.closed == 0  # it learns of its end when it next asks
        with pytest.raises(psycopg.OperationalError):
            holder.execute("SELECT 1")
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test%'").fetchall()
    assert found == [(kept,)]
    schemas.close()


def test_each_url_is_a_schema_of_its_own(postgres_url: str) -> None:
    assert postgres_url != session().fresh_url()
    assert session().fresh_url().partition("?")[0] == postgres_url.partition("?")[0]


def test_a_server_comes_back_after_the_last_process_of_the_killed_one(own_cluster: Cluster) -> None:
    def work() -> None:
        with psycopg.connect(own_cluster.url(), autocommit=True) as busy, suppress(psycopg.Error):
            busy.execute("SET statement_timeout = '2s'")  # it takes no notice of the death, only of the time
            busy.execute("SELECT count(*) FROM generate_series(1, 1000000000)")
            ended.append("unexpectedly")

    ended: list[str] = []
    thread = threading.Thread(target=work)
    thread.start()
    while not own_cluster.run("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"):
        time.sleep(0.05)
    own_cluster.kill_postmaster()
    own_cluster.start()
    thread.join()
    assert own_cluster.run("SELECT 1") == [(1,)]
    assert ended == []
