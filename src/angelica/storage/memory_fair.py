"""The memory storage's fair queues: which rows of which tenants a claim looks at, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from angelica.domain.lanes import tenant_lane
from angelica.storage.fair_rules import SORTED, by_tenant, is_sorted, order_of, woven
from angelica.storage.limit_rules import Doorway
from angelica.storage.memory_rows import Row
from angelica.storage.memory_table import Table

Take = Callable[[Sequence[str], int], Sequence[Row]]


def sort_out(table: Table, queue: str, lanes: Sequence[str], header: str) -> list[str]:
    """Put rows that stand in no tenant's lane into one, and return the lanes as they are then."""
    left = SORTED
    found = [lane for lane in lanes if is_sorted(lane)]
    for lane in sorted(set(lanes) - set(found)):
        for row in table.lanes.first(queue, lane, left):
            table.lanes.drop_ready(row)
            row.lane = tenant_lane(lane, row.spec.extras.headers.get(header, ""))
            row.revision += 1
            table.lanes.add_ready(row)
            found.append(row.lane)
            left -= 1
    return sorted(set(found))


def take_fairly(
    table: Table,
    doorway: Doorway,
    queue: str,
    lanes: Sequence[str],
    share: int,
    *,
    ready: Callable[[Sequence[str]], int],
    take: Take,
) -> tuple[list[Row], dict[str, str]]:
    """Take up to `share` rows in the order of turn; also return the gate of each one's tenant."""
    header = doorway.fair(queue) or ""
    tenants = by_tenant(queue, [(lane, 0, 0) for lane in sort_out(table, queue, lanes, header)])
    gates = table.gates
    names = {gate: [lane for lane, _, _ in levels] for gate, levels in tenants.items()}
    counts = {gate: min(ready(names[gate]), share) for gate in tenants}
    running = {gate: gates.running(gate) + doorway.running[gate] for gate in tenants}
    order = order_of(counts, running, doorway.served_of(gates.served), share, now=doorway.now)
    rows = {gate: take(names[gate], count) for gate, count in Counter(order).items()}
    owners = {row.spec.id: gate for gate, found in rows.items() for row in found}
    return woven(order, rows), owners
