"""Addresses that lead somewhere: several hosts, a socket, a password that is only heard by the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from angelica.errors import StorageUnavailable
from angelica.storage.postgres.adapter import PostgresStorage
from tests.postgres.cluster import free_port


def reach(url: str) -> str:
    async def look() -> str:
        storage = PostgresStorage(url)
        await storage.open()
        try:
            return (await storage.status()).url
        finally:
            await storage.close()

    return asyncio.run(look())


def test_the_host_that_takes_writes_is_found(postgres_database: str, postgres_cluster: Any) -> None:
    host, port = postgres_cluster.address
    both = postgres_database.replace(f"{host}:{port}", f"{host}:{free_port()},{host}:{port}")
    assert reach(f"{both}?target_session_attrs=read-write") == f"{both}?target_session_attrs=read-write"


def test_a_socket_is_an_address_too(own_cluster: Any) -> None:
    assert reach(own_cluster.socket_url).startswith("postgresql://postgres@/postgres?host=/")


@pytest.mark.parametrize("option", ["sslmode=s3cret", "target_session_attrs=s3cret", "sslmode=require&sslkey=s3cret"])
def test_an_option_that_will_not_do_is_refused_without_the_password(postgres_database: str, option: str) -> None:
    url = postgres_database.replace("postgres@", "postgres:pass-of-ours@")
    with pytest.raises(StorageUnavailable) as refused:
        reach(f"{url}{'&' if '?' in url else '?'}{option}")
    assert "pass-of-ours" not in str(refused.value)


def test_a_wrong_password_is_not_repeated(own_cluster: Any) -> None:
    own_cluster.run("create role ann login password 'right'")
    (own_cluster.data / "pg_hba.conf").write_text("host all ann 127.0.0.1/32 scram-sha-256\nhost all all all trust\n")
    own_cluster.run("select pg_reload_conf()")
    with pytest.raises(StorageUnavailable, match="password authentication failed") as refused:
        reach(own_cluster.url().replace("postgres@", "ann:wrong-one@"))
    assert "wrong-one" not in str(refused.value)
