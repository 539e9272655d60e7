"""Fair queues in a storage: the lanes of tenants, and what of each a claim takes, judged alike for every storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from angelica.clock import DAY, Now
from angelica.domain.fair import NEVER, Tenant, turns
from angelica.domain.lanes import needs_of

SORTED: Final = 5_000
"""How many rows that came without a tenant's lane one claim gives one; the next claim goes on."""
FORGOTTEN: Final = DAY
"""How long after it was served last a tenant is remembered: from then on it is as one that never was."""
CURSOR: Final = "tenants"
"""The row of `meta` that says after which tenant the next look for forgotten ones goes on."""
Level = tuple[str, int, int]
R = TypeVar("R")


def is_sorted(lane: str) -> bool:
    """Whether a lane is a tenant's."""
    return needs_of(lane).tenant is not None


def is_tenant(gate: str) -> bool:
    """Whether a gate is a tenant's: it counts who runs, and never holds anybody."""
    return gate.startswith("tenant:")


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


def order_of(
    ready: Mapping[str, int], running: Mapping[str, int], served: Mapping[str, int], wanted: int, *, now: Now
) -> list[str]:
    """Return the gates of the tenants whose turn it is, one for each task; what is known of each is by gate."""
    line = [Tenant(gate, count, running.get(gate, 0), served.get(gate, NEVER)) for gate, count in ready.items()]
    return [line[place].name for place in turns(line, wanted, now=now)]


def woven(order: Sequence[str], rows: Mapping[str, Sequence[R]]) -> list[R]:
    """Return the rows of all tenants in the order of turn; there may be fewer of one than it has turns."""
    left = {gate: iter(found) for gate, found in rows.items()}
    return [row for gate in order for row in islice(left[gate], 1)]
