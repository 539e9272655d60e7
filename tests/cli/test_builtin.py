"""The built-in functions, and the addresses that `angelica.http` may call."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from angelica import Engine
from angelica.contrib import builtin
from angelica.errors import Fail
from angelica.http.addresses import is_public, public_address


def test_registered_once_and_fail_for_development_only() -> None:
    engine = Engine("memory:")
    builtin.register(engine)
    builtin.register(engine)
    assert engine.functions.names() == ["angelica.hello", "angelica.http", "angelica.sleep"]
    builtin.register(engine, dev=True)
    assert "angelica.fail" in engine.functions.names()


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "192.168.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
    ],
)
def test_private_addresses_are_refused(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_pass(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f.1", "localhost"])
def test_names_of_loopback_are_seen_through(name: str) -> None:
    with pytest.raises(PermissionError):
        asyncio.run(public_address(name, 80))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://[::1]/", "file:///etc/passwd", "ftp://example.com/"])
def test_what_may_not_be_called_fails_for_good(url: str) -> None:
    with pytest.raises(Fail):
        asyncio.run(builtin.public_http(url))
