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


def share_fairly(tenants: Sequence[Tenant], wanted: int) -> list[int]:
    """Return how many of each tenant to claim, position by position, as if `wanted` came for one each time.

    Each one takes the next of the tenant with the fewest running, then of the one that was served the longest ago,
    then by name. What was just given counts as running and as served last of all, which makes rounds of it.
    """
    taken = [0] * len(tenants)
    line = [(t.running, t.served, t.name, place) for place, t in enumerate(tenants) if t.ready > 0]
    latest = max((t.served for t in tenants), default=NEVER)
    heapify(line)
    for turn in range(1, wanted + 1):
        if not line:
            break
        running, _, name, place = line[0]
        taken[place] += 1
        if taken[place] < tenants[place].ready:
            heapreplace(line, (running + 1, latest + turn, name, place))
        else:
            heappop(line)
    return taken


def in_turn(tenants: Sequence[Tenant], shares: Sequence[int]) -> list[int]:
    """Return the places of the tenants in the order in which their shares are started.

    Those that were served the longest ago come first; this is also the order in which they are written as served.
    """
    places = [place for place, share in enumerate(shares) if share]
    return sorted(places, key=lambda place: (tenants[place].running, tenants[place].served, tenants[place].name))
