"""Fair queues: how a worker's wish is shared between tenants, so that none waits for another one's flood."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import Final, NamedTuple

NEVER: Final = 0
"""`served` of a tenant of whom nothing was ever claimed."""


class Tenant(NamedTuple):
    """One tenant of a queue: how many are ready, how many run, and when one was claimed last (0: never)."""

    name: str
    ready: int
    running: int = 0
    served: int = NEVER


def turns(tenants: Sequence[Tenant], wanted: int) -> list[int]:
    """Return whose turn it is, as places in `tenants`, when one task after the other is taken, `wanted` in all.

    Each time it is the tenant with the fewest running, of these the one that was served the longest ago, then the
    first by name. What was just taken counts as running and as served last of all, which makes rounds of it.
    """
    line = [(t.running, t.served, t.name, place, t.ready) for place, t in enumerate(tenants) if t.ready > 0]
    latest = max((t.served for t in tenants), default=NEVER)
    heapify(line)
    order: list[int] = []
    while line and len(order) < wanted:
        running, _, name, place, ready = line[0]
        order.append(place)
        if ready > 1:
            heapreplace(line, (running + 1, latest + len(order), name, place, ready - 1))
        else:
            heappop(line)
    return order


def share_fairly(tenants: Sequence[Tenant], wanted: int) -> list[int]:
    """Return how many of each tenant to take, position by position."""
    taken = [0] * len(tenants)
    for place in turns(tenants, wanted):
        taken[place] += 1
    return taken
