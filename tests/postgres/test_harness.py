"""The harness itself: servers start, are kept apart, die and come back, and none outlives the run."""

from __future__ import annotations

import os

import psycopg
import pytest

from tests.postgres.binaries import given_url
from tests.postgres.cluster import Cluster
from tests.postgres.server import Server


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
