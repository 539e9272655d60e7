"""The order of claim: how priority levels rank as they age, and how a worker's wish is shared between queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angelica.clock import MINUTE, Now

AGEING: Final = MINUTE
"""A level gains one priority for each minute that its oldest ready task has waited since its `run_at`."""


def effective_level(priority: int, oldest_run_at: int, *, now: Now, ageing: int = AGEING) -> int:
    """Return a priority level's rank at `now`: its priority plus one for each `ageing` its oldest task has waited."""
    return priority + max(now.wall - oldest_run_at, 0) // ageing


def rank_levels(levels: Sequence[tuple[str, int, int]], *, now: Now, ageing: int = AGEING) -> list[tuple[str, int]]:
    """Return the (lane, priority) of `levels` (lane, priority, oldest `run_at`), first to claim first.

    Ties go to the higher priority, then to the lane whose oldest is older, then by name.
    """
    if len(levels) == 1:
        return [levels[0][:2]]
    order = sorted((-effective_level(p, at, now=now, ageing=ageing), -p, at, lane) for lane, p, at in levels)
    return [(lane, -negated) for _, negated, _, lane in order]


def rotate(queues: Sequence[str], turn: int) -> list[str]:
    """Return the queues in the order of this turn."""
    if not queues:
        return []
    start = turn % len(queues)
    return [*queues[start:], *queues[:start]]


def share_out(wanted: int, ready: Sequence[int]) -> list[int]:
    """Split `wanted` over queues with `ready` claimable tasks each, in their order of turn.

    First each queue gets an even share of what is left (rounded up); then what remains goes to the queues in order.
    """
    taken: list[int] = []
    left = wanted
    for position, count in enumerate(ready):
        share = -(-left // (len(ready) - position))
        taken.append(min(share, count))
        left -= taken[-1]
    for position, count in enumerate(ready):
        more = min(left, count - taken[position])
        taken[position] += more
        left -= more
    return taken
