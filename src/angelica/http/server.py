"""Running the API: uvicorn on a listening socket until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import uvicorn

_LAST_ANSWERS: Final = 3


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: this process has one plan for its end, and it is ours."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leaving = asyncio.Event()

    def capture_signals(self) -> Any:
        return _Nothing()

    async def main_loop(self) -> None:
        # Uvicorn looks ten times a second at a flag; the date header, its other affair, changes once a second.
        while not self.should_exit:
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.leaving.wait(), 1.0)


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


async def serve(
    app: Any, bound: socket.socket, stop: asyncio.Event, ready: Callable[[], None], *, proxied: bool = False
) -> None:
    """Serve `app` on a listening socket until `stop` is set; calls `ready` when it takes requests.

    `proxied` trusts the forwarding headers of a proxy in front. At the end open requests get three seconds.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",  # the engine is started and stopped by whoever calls us
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=proxied,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_LAST_ANSWERS,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has a flag, no event
            await asyncio.sleep(0.005)
        if not serving.done():
            ready()
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
    finally:
        server.should_exit = True
        server.leaving.set()
        await serving
