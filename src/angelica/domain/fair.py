"""Fair queues: how a worker's wish is shared between tenants, so that none waits for another one's flood."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from math import exp, log1p
from typing import Final, NamedTuple

from angelica.clock import SECOND, Now

NEVER: Final = 0
"""`served` of a tenant of whom nothing was ever claimed."""
MEMORY: Final = 30 * SECOND
"""How long what a tenant has had counts: after this time for a third (1/e), and so on.

With a longer one those that come anew pass one that had much for longer. With a much shorter one a task of seconds is
forgotten before the next is claimed, and a tenant that has little waits for the flood at every other turn.
"""


class Tenant(NamedTuple):
    """One tenant of a queue: how many are ready, how many run, and when one was `served` last (0: never)."""

    name: str
    ready: int
    running: int = 0
    served: int = NEVER


def served_again(served: int, *, now: Now) -> int:
    """Return `served` of a tenant of whom one more is claimed: `now`, and later the more it has had of late.

    It is the moment at which all that it has had would count as one: each counts as one when it is claimed, and for
    less and less after that (`MEMORY`). So one number says it, and the order of two tenants never changes by itself.
    """
    if served == NEVER:
        return now.wall
    return max(served, now.wall) + round(MEMORY * log1p(exp(-abs(served - now.wall) / MEMORY)))


def turns(tenants: Sequence[Tenant], wanted: int, *, now: Now) -> list[int]:
    """Return whose turn it is, as places in `tenants`, when one task after the other is taken, `wanted` in all.

    Each time it is the tenant with the fewest running, of these the one that has had the least of late, then the
    first by name. What was just taken counts as running and as had, which makes rounds of it.
    """
    line = [(t.running, t.served, t.name, place, t.ready) for place, t in enumerate(tenants) if t.ready > 0]
    heapify(line)
    order: list[int] = []
    while line and len(order) < wanted:
        running, served, name, place, ready = line[0]
        order.append(place)
        if ready > 1:
            heapreplace(line, (running + 1, served_again(served, now=now), name, place, ready - 1))
        else:
            heappop(line)
    return order


def share_fairly(tenants: Sequence[Tenant], wanted: int, *, now: Now) -> list[int]:
    """Return how many of each tenant to take, position by position."""
    taken = [0] * len(tenants)
    for place in turns(tenants, wanted, now=now):
        taken[place] += 1
    return taken
