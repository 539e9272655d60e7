"""A TCP proxy in a thread that does to connections what networks do, as a test says.

Each fault is set by one call, which returns when it is in force; it holds for the connections there are and for new
ones, until the next call.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

from tests.postgres.server import Server
from tests.postgres.wire import Replies, Requests

Way = Literal["requests", "replies"]
PATIENCE = 10.0
PIECE = 65_536


@dataclass
class Fault:
    kind: Literal["none", "delay", "hold", "blackhole", "reset", "cut", "drop"] = "none"
    seconds: float = 0.0
    left: int = 0
    way: Way = "replies"
    text: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Link:
    """One client and its connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.replies = Replies()
        self.requests = Requests(self.replies)
        self.dropping = False
        self.lost = False  # bytes of it were swallowed, so there is no way back

    def reset(self) -> None:
        for writer in (self.client, self.server):
            reset(writer)


class Proxy:
    """In front of `host` and `port`; a context manager. `done` counts the connections that a cut or a drop ended."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.done = 0
        self._upstream = host, port
        self._fault = Fault()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="proxy", daemon=True)

    @classmethod
    def of(cls, server: Server) -> Proxy:
        return cls(*server.address)

    def in_front_of(self, url: str) -> str:
        """The same URL, through here."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user[0]}{user[1]}127.0.0.1:{self.port}"))

    def through(self) -> None:
        """Pass everything on: no fault."""
        self._set(Fault())

    def delay(self, seconds: float) -> None:
        """Pass on each piece, either way, that much later."""
        self._set(Fault("delay", seconds=seconds))

    def hold(self) -> None:
        """Pass on nothing for now: a network that is down and comes back, with what was sent meanwhile."""
        self._set(Fault("hold"))

    def blackhole(self) -> None:
        """Accept connections and swallow all they send, either way. Nobody is told; what was swallowed never comes."""
        self._set(Fault("blackhole"))

    def reset(self) -> None:
        """Reset all connections, and each new one at once."""
        self._set(Fault("reset"))

    def cut(self, after: int, way: Way = "replies") -> None:
        """Let that many more bytes pass one way, all connections together, then reset the one that sends more. Once."""
        self._set(Fault("cut", left=after, way=way))

    def drop_reply_once(self, text: str = "") -> None:
        """Reset the connection whose next statement has `text` in it, when it was run and before the answer. Once.

        The statement reaches the server, which has ended its transaction (outside of BEGIN) when the client learns of
        nothing but a broken connection. For one inside of BEGIN, `text` is "COMMIT".
        """
        self._set(Fault("drop", text=text))

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._up.wait(PATIENCE):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)

    def _set(self, fault: Fault) -> None:
        async def put() -> None:
            before, self._fault = self._fault, fault
            before.over.set()
            if fault.kind == "reset":
                for link in list(self._links):
                    link.reset()

        assert self._loop is not None, "not started"
        asyncio.run_coroutine_threadsafe(put(), self._loop).result(PATIENCE)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        for link in list(self._links):
            link.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                await self._join(reader, writer)
        finally:
            reset(writer)

    async def _join(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._fault.kind == "reset":
            return
        if self._fault.kind == "blackhole":
            while await reader.read(PIECE):
                pass
            return
        server_reader, server = await asyncio.open_connection(*self._upstream)
        link = Link(client, server)
        self._links.add(link)
        try:
            requests = self._pump(link, "requests", reader, server)
            await asyncio.gather(requests, self._pump(link, "replies", server_reader, client))
        finally:
            self._links.discard(link)
            link.reset()

    async def _pump(self, link: Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(PIECE):
                # Read before anything is swallowed: what a statement's name means was said long before.
                ready = self._read(link, way, data)
                await self._held()
                if self._fault.kind == "blackhole" or link.lost:
                    link.lost = True
                elif link.dropping and way == "replies":
                    if ready:
                        self._end(link)
                else:
                    await self._pass(link, way, data, writer)
            await self._held()
        except OSError:
            link.reset()
        if not (link.lost and way == "replies"):  # nobody is told of a connection that was swallowed
            writer.close()

    def _read(self, link: Link, way: Way, data: bytes) -> bool:
        """Follow the protocol; whether the server now has answered in full."""
        if way == "replies":
            return link.replies.feed(data)
        run = link.requests.feed(data)
        if self._fault.kind == "drop" and any(self._fault.text in text for text in run):
            self._fault = Fault()
            link.dropping = True
        return False

    async def _held(self) -> None:
        while self._fault.kind == "hold":
            await self._fault.over.wait()

    async def _pass(self, link: Link, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        fault = self._fault
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        cut = fault.kind == "cut" and fault.way == way
        over = cut and len(data) > fault.left
        data = data[: fault.left] if over else data
        fault.left -= len(data) if cut else 0
        writer.write(data)
        await writer.drain()
        if over:
            self._fault = Fault()
            self._end(link)

    def _end(self, link: Link) -> None:
        self.done += 1
        link.reset()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a machine does that knows nothing of the connection any more."""
    with suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
