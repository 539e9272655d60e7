"""The functions that every engine of the command line knows: hello, sleep, http, and fail for development."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from angelica.errors import Fail
from angelica.http.addresses import public_address

log: Final = logging.getLogger("angelica.builtin")

_BODY_SHOWN: Final = 16 * 1024
_MAX_SLEEP: Final = 86_400.0


class Registers(Protocol):
    """What is needed of an engine: its decorator, and whether a name is taken."""

    @property
    def functions(self) -> Any: ...

    def task(self, *args: Any, **options: Any) -> Any: ...


def register(engine: Registers, *, dev: bool = False) -> None:
    """Register the built-in functions on `engine`; `angelica.fail` only for development. May be called twice."""
    known = set(engine.functions.names())
    functions: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
        ("angelica.hello", hello, {}),
        ("angelica.sleep", sleep, {"timeout": "1d"}),
        ("angelica.http", http if dev else public_http, {"timeout": "1m"}),
    ]
    if dev:
        functions.append(("angelica.fail", fail, {}))
    for name, function, options in functions:
        if name not in known:
            engine.task(name=name, **options)(function)


async def hello(who: str = "world") -> str:
    """Say hello to `who`."""
    log.info("saying hello to %s", who)
    return f"hello, {who}"


async def sleep(seconds: float = 1.0) -> float:
    """Sleep for `seconds` (at most a day) and return them."""
    if not 0 <= seconds <= _MAX_SLEEP:
        raise Fail("seconds must be from 0 to 86400")
    log.info("sleeping for %g s", seconds)
    await asyncio.sleep(seconds)
    return seconds


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


async def http(
    url: str,
    method: Method = "GET",
    headers: dict[str, str] | None = None,
    body: str | None = None,
    timeout: float = 30.0,
) -> dict[str, Any]:
    """Call `url` and return `status`, `headers` and `body` (its first 16 KiB); 5xx and 429 are tried again.

    Redirects are not followed and proxies of the environment are not used. Under `angelica serve` only public
    addresses are called.
    """
    return await _call(url, method, headers or {}, body, timeout, public=False)


async def public_http(
    url: str,
    method: Method = "GET",
    headers: dict[str, str] | None = None,
    body: str | None = None,
    timeout: float = 30.0,
) -> dict[str, Any]:
    """Call `url`, on the public Internet only, and return `status`, `headers` and `body` (its first 16 KiB).

    5xx and 429 are tried again. Redirects are not followed and proxies of the environment are not used.
    """
    return await _call(url, method, headers or {}, body, timeout, public=True)


async def _call(
    url: str, method: str, headers: dict[str, str], body: str | None, timeout: float, *, public: bool
) -> dict[str, Any]:
    import httpx2

    target = httpx2.URL(url)
    if target.scheme not in ("http", "https") or not target.host:
        raise Fail("url must begin with http:// or https://")
    headers = {name: value for name, value in headers.items() if name.lower() != "host"}
    extensions: dict[str, Any] = {}
    if public:
        try:
            address = await public_address(target.host, target.port or (443 if target.scheme == "https" else 80))
        except PermissionError as error:
            raise Fail(str(error)) from None
        headers["host"] = target.netloc.decode("ascii")
        extensions["sni_hostname"] = target.host
        target = target.copy_with(host=address)
    async with httpx2.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client:
        content = None if body is None else body.encode()
        stream = client.stream(method, target, headers=headers, content=content, extensions=extensions)
        async with stream as answer:
            log.info("%s %s: %d", method, url, answer.status_code)
            text = await _first(answer)
            if answer.status_code >= 500 or answer.status_code == 429:  # noqa: PLR2004 - HTTP
                raise ConnectionError(f"{url} answered {answer.status_code}")
            return {"status": answer.status_code, "headers": dict(answer.headers), "body": text}


async def _first(answer: Any) -> str:
    """Read the beginning of a body and no more: the other side decides how long it is."""
    data = b""
    async for chunk in answer.aiter_bytes():
        data += chunk
        if len(data) >= _BODY_SHOWN:
            break
    return data[:_BODY_SHOWN].decode("utf-8", "replace").replace("\x00", "\ufffd")


async def fail(message: str = "as you wished") -> None:
    """Raise `RuntimeError(message)`, to see how failures and retries look."""
    log.warning("about to fail: %s", message)
    raise RuntimeError(message)
