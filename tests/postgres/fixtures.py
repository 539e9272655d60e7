"""The pytest plugin of the PostgreSQL tests: fixtures, and the beginning and end of the run's server.

    postgres_url       a fresh schema for the test, as a URL for the adapter, which makes the schema
    postgres_database  the URL of a fresh, empty database: for what concerns a whole database
    postgres_cluster   the server of the run, shared: `url(database)`, `run(sql)`, `version`
    own_cluster        a server for this test alone, which may be stopped and killed
    postgres_proxy     a proxy in front of the shared server, which does what networks do
    pgbouncer          PgBouncer in transaction mode in front of the shared server

`postgres_proxy.in_front_of(postgres_url)` and `pgbouncer.in_front_of(postgres_url)` are the same schema through them.

A test that has one of them bears the mark `postgres`, and so does one with a parameter "postgres". Without a fixture,
`session().fresh_url()` gives what `postgres_url` does, both are dropped when the test has ended; and
`session().cluster()` what `own_cluster` does, for a fixture of another scope.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import binaries
from tests.postgres.cluster import Cluster
from tests.postgres.pgbouncer import CHOICE as PGBOUNCER
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.proxy import Proxy
from tests.postgres.server import Server
from tests.postgres.session import Session, session, set_session

KEY = "angelica_postgres"
FIXTURES = {"postgres_url", "postgres_database", "postgres_cluster", "own_cluster", "postgres_proxy", "pgbouncer"}


@pytest.fixture(scope="session")
def postgres_cluster() -> Server:
    return session().server()


@pytest.fixture
def postgres_url() -> str:
    return session().fresh_url()


@pytest.fixture
def postgres_database(postgres_cluster: Server) -> Iterator[str]:
    name = f"angelica_test_{uuid.uuid4().hex[:12]}"
    yield postgres_cluster.create_database(name)
    postgres_cluster.drop_database(name)


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    with session().cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_proxy(postgres_cluster: Server) -> Iterator[Proxy]:
    with Proxy.of(postgres_cluster) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def pgbouncer(postgres_cluster: Server) -> Iterator[PgBouncer]:
    if binaries.given_url() is not None:
        pytest.skip(f"{binaries.CHOICE} names a server that may want a password of PgBouncer")
    if os.environ.get(PGBOUNCER) == "no":
        pytest.skip(f"{PGBOUNCER}=no")
    bouncer = PgBouncer(postgres_cluster, session().place("bouncer"))
    try:
        bouncer.start()
        yield bouncer
    finally:
        bouncer.remove()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres: needs a PostgreSQL server; set by its fixtures")
    told = getattr(config, "workerinput", {}).get(KEY)
    set_session(Session.begin() if told is None else Session(Path(told["directory"]), told["controller"]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist whose it is."""
    node.workerinput[KEY] = {"directory": str(session().directory), "controller": session().controller}


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        session().leave()
    else:
        session().end()
    set_session(None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if needs_postgres(item):
            item.add_marker("postgres")


def needs_postgres(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    chosen = [value for value in call.params.values() if isinstance(value, str)] if call is not None else []
    return "postgres" in chosen or not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """After the test's fixtures, which close what they opened in them."""
    try:
        return (yield)
    finally:
        session().drop_schemas()
