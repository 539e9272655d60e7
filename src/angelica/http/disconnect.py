"""Disconnects: to stop waiting for the sake of a caller that has gone away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


async def gone(receive: Receive) -> None:
    """Return when the caller has gone away; the body has been read, so nothing else comes."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, waiting: Coroutine[Any, Any, T]) -> T:
    """Return what `waiting` returns; raise `ConnectionResetError` if the caller goes away before."""
    work = asyncio.ensure_future(waiting)
    watch = asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ConnectionResetError
        return work.result()
    finally:
        for future in (work, watch):
            if not future.done():
                future.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)
