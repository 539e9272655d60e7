"""Claiming a target: which store may be filled, by which move, and how a move that was cut off goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from angelica.domain.fence import Fence
from angelica.errors import Conflict, StorageUnavailable, StoreMoved
from angelica.storage.move.fences import put
from angelica.storage.move.plan import TABLES
from angelica.storage.move.sides import Exporter, Importer

CURSOR: Final = "move"
"""The row of the target's `meta` that says how far the copy of ended tasks has come."""
IDENTITY: Final = "identity"
"""The row of `meta` that tells one store from all others, by whatever address it is reached."""
ORIGIN: Final = "move_from"
"""The row of the target's `meta` that keeps the identity of the store that it is filled from."""
MADE_ANEW: Final = frozenset({"functions", "limits"})
"""Tables that a process fills by opening the store: rows in them make it no store in use."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A target that is ours to fill; `fence` is the one to raise around the source.

    `committed`: the source has moved here already, only the end is missing.
    """

    fence: Fence
    committed: bool = False


async def claim_target(source: Exporter, target: Importer, fresh: str) -> Claimed:
    """Return how to go on.

    Raises `Conflict` for a target that will not do, `StoreMoved` for a source that has moved elsewhere.
    """
    stands, theirs = await source.fence(), await target.fence()
    receiving = theirs is not None and theirs.state == "receiving"
    if stands is not None and stands.state == "moved":
        if receiving and theirs is not None and theirs.move == stands.move:
            return Claimed(stands, committed=True)
        raise StoreMoved(stands.to)
    if stands is not None and stands.state == "receiving":
        raise StorageUnavailable(f"{source.shown} is itself being filled from {stands.source}")
    identity = await source.note(IDENTITY)
    if identity is None:
        identity = fresh
        await source.put_note(IDENTITY, identity)
    if await target.note(IDENTITY) == identity:
        raise Conflict(f"{target.shown} is the store that is to be moved")
    if theirs is not None and theirs.state == "moved":
        raise Conflict(f"{target.shown} has itself been moved, to {theirs.to}: choose an empty store")
    if receiving and theirs is not None:
        return await _resume(source, target, theirs, identity)
    return await _begin(source, target, fresh, identity)


async def _begin(source: Exporter, target: Importer, fresh: str, identity: str) -> Claimed:
    totals = await target.totals([table for table in TABLES if table.name not in MADE_ANEW])
    full = [name for name, rows in totals.items() if rows]
    if full:
        raise Conflict(f"{target.shown} is not empty ({', '.join(full)}): choose an empty store")
    await target.put_note(CURSOR, None)
    await target.put_note(ORIGIN, identity)
    await target.arm()
    await target.swap_fence(put(Fence("receiving", fresh, target.shown, source.shown)))
    await target.reset(everything=True)
    return Claimed(Fence("draining", fresh, target.shown, source.shown))


async def _resume(source: Exporter, target: Importer, theirs: Fence, identity: str) -> Claimed:
    if await target.note(ORIGIN) != identity:
        hint = "end that move, or drop what it has left"
        raise Conflict(f"{target.shown} is being filled from another store, {theirs.source}: {hint}")
    await target.reset(everything=False)
    return Claimed(Fence("draining", theirs.move, target.shown, source.shown))


async def finish_target(target: Importer) -> None:
    """Open the target to everybody."""
    for key in (CURSOR, ORIGIN):
        await target.put_note(key, None)
    await target.swap_fence(put(None))
    await target.disarm()


async def drop_target(source: Exporter, target: Importer) -> None:
    """Delete what a move from this source has left in a target, and open that to everybody, empty."""
    stands, theirs = await source.fence(), await target.fence()
    identity = await source.note(IDENTITY)
    if theirs is None or theirs.state != "receiving" or identity is None or await target.note(ORIGIN) != identity:
        raise Conflict(f"{target.shown} is not being filled from {source.shown}: nothing was deleted")
    if stands is not None and stands.state == "moved" and stands.move == theirs.move:
        raise Conflict("the data has moved there already: run the command without --abort to bring the move to its end")
    await target.reset(everything=True)
    await finish_target(target)
