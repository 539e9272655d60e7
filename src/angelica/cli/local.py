"""The local store behind the same API: requests go to the API's own routes, in this process, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote, urlencode

from angelica.engine import Engine
from angelica.http.app import create_app
from angelica.http.remote import RemoteProblem, Reply


class LocalConnection:
    """A connection to an engine of this process that submits and reads, and runs no worker."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._app = create_app(engine, mode="trusted")

    @classmethod
    async def open(cls, engine: Engine) -> LocalConnection:
        """Open the engine's store."""
        await engine.start(worker=False)
        return cls(engine)

    @property
    def name(self) -> str:
        return self._engine.settings.shown_url

    async def close(self) -> None:
        await self._engine.stop()

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Reply:
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": urlencode(query).encode("ascii"),
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"accept", b"application/json")]
            + (
                [] if body is None else [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            ),
            "client": None,
            "server": ("localhost", 80),
            "state": {},
        }
        sent: list[MutableMapping[str, Any]] = []
        incoming = [{"type": "http.request", "body": body or b"", "more_body": False}]

        async def receive() -> MutableMapping[str, Any]:
            if incoming:
                return incoming.pop()
            await asyncio.Event().wait()  # nobody hangs up
            raise AssertionError

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        try:
            await asyncio.wait_for(self._app(scope, receive, send), timeout)
        except TimeoutError:
            raise RemoteProblem(0, "no-answer", f"{self.name} did not answer in {timeout:g} s") from None
        return Reply(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]))
