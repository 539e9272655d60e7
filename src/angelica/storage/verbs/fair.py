"""Fair queues: rows get their tenants' lanes, and a claim takes of each tenant in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from angelica.clock import Now
from angelica.domain.claims import rank_levels
from angelica.domain.lanes import tenant_lane
from angelica.storage.fair_rules import CURSOR, FORGOTTEN, SORTED, Level, by_tenant, is_sorted, order_of, woven
from angelica.storage.limit_rules import VERSION, Doorway
from angelica.storage.rows import extras_of, to_json
from angelica.storage.verbs.transaction import Freed, Statements, Transaction

Look = Callable[[str, str, int, int], Awaitable[list[Any]]]
"""Returns the first ready rows of (queue, lane, priority), at most so many."""


async def sort_out(tx: Transaction, queue: str, levels: Sequence[Level], header: str) -> bool:
    """Put rows that stand in no tenant's lane into one; say whether there were any."""
    left = SORTED
    moved: list[Freed] = []
    for lane in sorted({lane for lane, _, _ in levels if not is_sorted(lane)}):
        rows = await tx.rows("unsorted", queue, lane, left) if left else []
        for task_id, text, priority, run_at in rows:
            own = tenant_lane(lane, extras_of(text).headers.get(header, ""))
            moved.append(Freed(task_id, own, queue, priority, run_at))
        left -= len(rows)
    if moved:
        await tx.run("sort_out", to_json([row[:2] for row in moved]))
        tx.freed += moved  # their lane may be known to begin behind them
    return bool(moved)


async def rows_in_turn(
    tx: Transaction,
    doorway: Doorway,
    queue: str,
    levels: Sequence[Level],
    counts: Mapping[str, int],
    share: int,
    look: Look,
) -> tuple[list[Any], dict[str, str]]:
    """Return up to `share` ready rows in the order of turn, and the gate of each one's tenant.

    `counts` are how many of each lane may be taken; `look` returns the first ones of a level.
    """
    tenants = by_tenant(queue, levels)
    ready = {
        gate: min(sum([counts[lane] for lane in {lane for lane, _, _ in mine}]), share)
        for gate, mine in tenants.items()
    }
    names = to_json(list(tenants))
    running = {gate: n + doorway.running[gate] for gate, n in await tx.rows("count_passes", names)}
    served = doorway.served_of(dict(await tx.rows("served_of", names)))
    order = order_of(ready, running, served, share, now=doorway.now)
    rows: dict[str, list[Any]] = {}
    for gate, count in Counter(order).items():
        found = rows[gate] = []
        for lane, priority in rank_levels(tenants[gate], now=doorway.now, ageing=doorway.ageing(queue)):
            if len(found) < count:
                found += await look(queue, lane, priority, count - len(found))
    owners = {row[0]: gate for gate, found in rows.items() for row in found}
    return woven(order, rows), owners


async def has_tenants(db: Statements) -> bool:
    """Whether anybody was served in a fair queue."""
    return bool(await db.value("any_tenants"))


async def prune_tenants(tx: Transaction, *, now: Now, limit: int) -> int:
    """Forget who was served long ago, of the next `limit` tenants; return how many.

    They are looked at in turn, by their key: an index of moments would have to be written by each claim.
    """
    await tx.lock("limits", [VERSION])  # as claims do that write down whom they serve
    after = await tx.value("meta", CURSOR) or ""
    rows = await tx.rows("tenants_after", after, limit)
    old = [gate for gate, served in rows if served <= now.wall - FORGOTTEN]
    if old:
        await tx.run("forget_tenants", to_json(old))
    last = rows[-1][0] if len(rows) == limit else ""
    if last != after:
        await tx.run("put_meta", CURSOR, last)
    return len(old)


async def put_served(tx: Transaction, doorway: Doorway) -> None:
    """Write down when which tenant was served last, as `domain.fair` counts it."""
    if doorway.served:
        await tx.run("put_served", to_json(list(doorway.served.items())))
