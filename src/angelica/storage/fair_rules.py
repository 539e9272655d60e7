"""Fair queues in a storage: the lanes of tenants, and what of each a claim takes, judged alike for every storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from angelica.domain.fair import NEVER, Tenant, in_turn, share_fairly
from angelica.domain.lanes import needs_of

SORTED: Final = 5_000
"""How many rows that came without a tenant's lane one claim gives one; the next claim goes on."""
Level = tuple[str, int, int]


class Served(NamedTuple):
    """What one tenant gets of a claim: its gate, its levels and how many."""

    gate: str
    levels: Sequence[Level]
    share: int


def is_sorted(lane: str) -> bool:
    """Whether a lane is a tenant's."""
    return needs_of(lane).tenant is not None


def tenant_gate(queue: str, lane: str) -> str:
    """Return the gate at which the running tasks of a lane's tenant are counted."""
    return f"tenant:{queue}/{needs_of(lane).tenant}"


def by_tenant(queue: str, levels: Sequence[Level]) -> dict[str, list[Level]]:
    """Return levels by the gates of their tenants."""
    found: dict[str, list[Level]] = {}
    for level in levels:
        if is_sorted(level[0]):
            found.setdefault(tenant_gate(queue, level[0]), []).append(level)
    return dict(sorted(found.items()))


def plan(
    tenants: Mapping[str, Sequence[Level]],
    ready: Mapping[str, int],
    running: Mapping[str, int],
    served: Mapping[str, int],
    wanted: int,
) -> list[Served]:
    """Return how many to take of each tenant, in the order in which they are started; all but levels by gate."""
    line = [Tenant(gate, ready[gate], running.get(gate, 0), served.get(gate, NEVER)) for gate in tenants]
    shares = share_fairly(line, wanted)
    return [Served(line[n].name, tenants[line[n].name], shares[n]) for n in in_turn(line, shares)]
