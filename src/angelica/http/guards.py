"""Guards: the checks on Host, Origin, Sec-Fetch-Site and size that come before any handler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from angelica.http.problems import HttpProblem

HEADER_LIMIT: Final = 16 * 1024
URL_LIMIT: Final = 8 * 1024
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORWARDING: Final = (
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"cf-connecting-ip",
    b"via",
)

Headers = Mapping[bytes, bytes]


def check_sizes(scope: Mapping[str, Any]) -> None:
    """Refuse an address over 8 KiB or headers over 16 KiB."""
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > URL_LIMIT:
        raise HttpProblem("uri-too-long")
    if sum([len(name) + len(value) for name, value in scope["headers"]]) > HEADER_LIMIT:
        raise HttpProblem("headers-too-large")


def host_name(value: str) -> str:
    """Return a Host header without its port, in lower case."""
    value = value.strip().lower()
    if value.startswith("["):
        return value.partition("]")[0] + "]"
    return value.partition(":")[0]


@lru_cache(maxsize=1024)
def _header_name(value: bytes) -> str:
    return host_name(value.decode("latin-1"))


def allowed_hosts(configured: Iterable[str], bound: str) -> frozenset[str]:
    """Return the names that may stand in Host: the local ones, the configured ones, and the one that is bound."""
    names = {
        host_name(f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name) for name in configured
    }
    if bound not in ("", "0.0.0.0", "::"):  # noqa: S104  a comparison, nothing is bound
        names.add(f"[{bound.lower()}]" if ":" in bound else bound.lower())
    return LOCAL_NAMES | names


def is_allowed_host(headers: Headers, allowed: frozenset[str]) -> bool:
    """Whether Host is one of ours; a page that rebinds its DNS name to loopback brings its own name."""
    return _header_name(headers.get(b"host", b"")) in allowed


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy has passed this on: then the peer is the proxy, not the caller."""
    return any(name in headers for name in FORWARDING)


def is_loopback(scope: Mapping[str, Any]) -> bool:
    """Whether the peer is this very machine (a Unix socket counts)."""
    client = scope.get("client")
    return client is None or _is_loopback(client[0])


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def check_site(method: str, headers: Headers, allowed: frozenset[str]) -> None:
    """Refuse what a page of another site makes a browser send.

    A browser says so itself in Sec-Fetch-Site, or (older ones, writes only) in Origin. Programs send neither.
    A link to one of our pages may be followed from anywhere.
    """
    site = headers.get(b"sec-fetch-site", b"none")
    if site not in (b"same-origin", b"none") and (method not in SAFE or headers.get(b"sec-fetch-mode") != b"navigate"):
        raise HttpProblem("cross-site", f"Sec-Fetch-Site is {site.decode('latin-1')}")
    origin = headers.get(b"origin")
    if origin is None or method in SAFE:
        return
    try:
        netloc = urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:
        netloc = ""
    # A proxy may have rewritten Host; then the public name must be a configured one. Another port of this machine is
    # another site.
    if not netloc or (
        netloc != headers.get(b"host", b"").decode("latin-1").lower() and host_name(netloc) not in allowed - LOCAL_NAMES
    ):
        raise HttpProblem("cross-site", "Origin is another site")
