"""How a fence is kept in the store, and which step of a move may follow which: pure, judged inside one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from angelica.domain.fence import Fence
from angelica.errors import Conflict, StoreMoved

KEY: Final = "fence"
"""The row of `meta` that keeps it."""

Judge = Callable[[Fence | None, int], Fence | None]
"""Takes the fence that stands and the store's wall clock; returns the one that shall stand, or raises."""

_decoder: Final = msgspec.json.Decoder(Fence)


def fence_text(fence: Fence) -> str:
    """Return the stored text of a fence."""
    return msgspec.json.encode(fence).decode()


def fence_of(text: str | None) -> Fence | None:
    """Return the fence of a stored text."""
    return None if text is None else _decoder.decode(text)


class FenceLost(Conflict):
    """The fence did not hold until the end: the source has gone on meanwhile, so nothing may be committed."""

    def __init__(self) -> None:
        super().__init__("the fence was lifted before the move had ended: the source is in work, start the move again")


def raised(fence: Fence, length: int) -> Judge:
    """Raise a fence around the source for `length` microseconds; refused while another move has one."""

    def judge(stands: Fence | None, wall: int) -> Fence:
        if stands is not None and stands.state == "moved":
            raise StoreMoved(stands.to)
        if stands is not None and stands.move != fence.move and stands.holds(wall):
            raise Conflict(f"another move is under way, to {stands.to}")
        return replace(fence, until=wall + length)

    return judge


def kept(fence: Fence, length: int) -> Judge:
    """Make it last for `length` microseconds from now; what has lapsed stays so."""

    def judge(stands: Fence | None, wall: int) -> Fence:
        return replace(_ours(stands, fence, wall), until=wall + length)

    return judge


def committed(fence: Fence) -> Judge:
    """Turn the fence that has held until now into the word that the data has moved: the commit point."""

    def judge(stands: Fence | None, wall: int) -> Fence:
        if _ours(stands, fence, wall).state != "moving":
            raise FenceLost
        return replace(fence, state="moved", until=0)

    return judge


def lifted(move: str | None) -> Judge:
    """Take the fence away if it is of this move (None: of any); one that says `moved` stays."""

    def judge(stands: Fence | None, _: int) -> Fence | None:
        if stands is None or stands.state not in ("draining", "moving") or move not in (None, stands.move):
            return stands
        return None

    return judge


def put(fence: Fence | None) -> Judge:
    """Set it whatever stands: around a target, which nobody else works on."""
    return lambda *_: fence


def _ours(stands: Fence | None, fence: Fence, wall: int) -> Fence:
    if stands is None or stands.move != fence.move or stands.state == "moved" or not stands.holds(wall):
        raise FenceLost
    return stands
