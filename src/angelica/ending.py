"""Ending asyncio tasks that run for ever: cancelled until they have really ended."""

from __future__ import annotations

import asyncio
from typing import Any, Final

AGAIN: Final = 0.05


async def end(*loops: asyncio.Task[Any] | None) -> None:
    """Cancel and wait; what they raised is dropped.

    One cancel is not enough: before Python 3.12 `asyncio.wait_for` swallows one that comes together with its result,
    and the loop around it goes on for ever.
    """
    left = {loop for loop in loops if loop is not None}
    ended: set[asyncio.Task[Any]] = set()
    while left:
        for loop in left:
            loop.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN)
        ended |= done
    for loop in ended:
        if not loop.cancelled():
            loop.exception()
