"""Server-sent events: the wire form, and a stream that ends when its reader goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from starlette.types import Receive

from angelica.http.answers import encode
from angelica.http.disconnect import gone
from angelica.http.problems import HttpProblem, retry_after

MEDIA: Final = b"text/event-stream"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
OPENING: Final = b"retry: 2000\n\n"
COMMENT: Final = b": still here\n\n"
FOLLOWERS: Final = 32
"""Open streams that one caller may have in one process."""


def event(name: str, data: Any, id: str | None = None) -> bytes:
    """Return one event; JSON holds no line break, so one `data:` line is enough."""
    head = b"" if id is None else b"id: %s\n" % id.encode("ascii")
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode("ascii"), encode(data))


class Followers:
    """Counts the open streams of each caller."""

    def __init__(self, limit: int = FOLLOWERS) -> None:
        self.limit = limit
        self.open: Counter[str] = Counter()

    def check(self, caller: str) -> None:
        """Raise 429 if the caller has as many streams as it may."""
        if self.open[caller] >= self.limit:
            raise HttpProblem("rate-limited", f"{self.limit} streams are open already", headers=retry_after(5.0))

    async def follow(self, caller: str, receive: Receive, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        """Yield the pieces until they end or the reader has gone away."""
        self.open[caller] += 1
        watch = asyncio.ensure_future(gone(receive))
        step: asyncio.Future[bytes] | None = None
        try:
            while True:
                step = asyncio.ensure_future(anext(pieces))
                await asyncio.wait((step, watch), return_when=asyncio.FIRST_COMPLETED)
                if not step.done():
                    return
                try:
                    piece = step.result()
                except StopAsyncIteration:
                    return
                yield piece
        finally:
            self.open[caller] -= 1
            if not self.open[caller]:
                del self.open[caller]
            for future in (step, watch):
                if future is not None and not future.done():
                    future.cancel()
                    with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                        await future
            await pieces.aclose()
