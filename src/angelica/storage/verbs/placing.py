"""What of a worker's space a claim may give away, and for which task it keeps the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from angelica.clock import Now
from angelica.domain.claims import AGEING
from angelica.domain.lanes import needs_of
from angelica.domain.placement import Head, Spare, first_late, has_needs, reserver
from angelica.storage.protocol import Claim
from angelica.storage.rows import peer_of
from angelica.storage.verbs.transaction import Statements


def heads_of(levels: Iterable[Sequence[Any]]) -> list[Head]:
    """Return the first tasks with needs of the levels (lane, queue, priority, oldest `run_at`) that a claim has met."""
    return [Head(queue, lane, n, oldest) for lane, queue, n, oldest in levels if has_needs(lane)]


async def spare_for(
    db: Statements,
    claim: Claim,
    heads: Sequence[Head],
    *,
    now: Now,
    ageing: Callable[[str], int] = lambda _queue: AGEING,
) -> Spare:
    """Return what a claim may give away. Only where something is late it takes a look at the other workers."""
    passed = first_late(heads, claim.space.capacity, now=now, ageing=ageing) if heads else None
    if passed is None:
        return Spare(claim.space)
    late = passed.late
    by_function = int(needs_of(late.lane).function is not None)
    peers = [peer_of(row) for row in await db.rows("offers", now.tick, now.boot, by_function)]
    mine = reserver(late, peers, claim.select, now=now) == claim.worker
    return Spare(claim.space, passed if mine else None)
