"""What of a worker's space a claim may give away, and for which task it keeps the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from angelica.clock import Now
from angelica.domain.lanes import needs_of
from angelica.domain.placement import Late, Spare, has_needs, oldest_late, reserver
from angelica.storage.protocol import Claim
from angelica.storage.rows import peer_of
from angelica.storage.verbs.transaction import Statements


def late_in(levels: Iterable[Sequence[Any]], claim: Claim, *, now: Now) -> Late | None:
    """Return the oldest that is late of the levels (lane, queue, priority, oldest `run_at`) that a claim has met."""
    heads = [Late(level[3], level[1], level[0]) for level in levels if has_needs(level[0])]
    return oldest_late(heads, claim.space.capacity, now=now) if heads else None


async def spare_for(db: Statements, claim: Claim, late: Late | None, *, now: Now) -> Spare:
    """Return what a claim may give away. Only where something is late it takes a look at the other workers."""
    if late is None:
        return Spare(claim.space)
    by_function = int(needs_of(late.lane).function is not None)
    peers = [peer_of(row) for row in await db.rows("offers", now.tick, now.boot, by_function)]
    mine = reserver(late, peers, claim.select, now=now) == claim.worker
    return Spare(claim.space, late if mine else None)
