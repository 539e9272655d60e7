"""The memory storage's verbs for limits, and how they free held tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelica.clock import Now
from angelica.domain.gates import gates_of, is_gate
from angelica.domain.task import State
from angelica.storage.breaker_rules import FREED, is_breaker
from angelica.storage.limit_rules import Doorway, changed, first_of, is_queue
from angelica.storage.memory_schedules import MemorySchedules
from angelica.storage.memory_table import RANG_READY, Table
from angelica.storage.protocol import LimitPut, LimitRow, Relieved

_ALL = 1_000


class MemoryLimits(MemorySchedules):
    """The part of the memory storage that is its `LimitStore`."""

    async def put_limits(self, puts: Sequence[LimitPut], *, now: Now) -> None:
        with self._lock:
            table = self._open_table()
            done = [_put(table, put, now) for put in puts]
            if any(done):
                _after(table, now)
        self._ring()

    async def delete_limits(self, gates: Sequence[str], *, now: Now) -> tuple[bool, ...]:
        with self._lock:
            table = self._open_table()
            deleted = tuple([_delete(table, gate) for gate in gates])
            if any(deleted):
                _after(table, now)
        self._ring()
        return deleted

    async def relieve(self, *, now: Now, limit: int = 100) -> Relieved:
        with self._lock:
            relieved = relieve(self._open_table(), now=now, limit=limit)
        self._ring()
        return relieved

    async def list_limits(self) -> tuple[LimitRow, ...]:
        with self._lock:
            return self._table.gates.rows()


def refill(table: Table, wanted: Mapping[str, int], *, now: Now) -> int:
    """Free held tasks of gates, up to `wanted` of each and as far as it lets them; return how many."""
    doorway = Doorway(now)
    table.gates.meet(doorway, wanted)
    count = 0
    for gate in sorted(wanted):
        known = doorway.known[gate]
        room = wanted[gate] if known is None else min(known.room(now), wanted[gate])
        if is_queue(gate):
            table.rang |= RANG_READY if room > 0 else 0
            continue
        rows = {row.spec.id: row for row in table.parked(gate)}
        places = [(row.spec.priority, row.run_at, task_id) for task_id, row in rows.items()]
        for task_id in first_of(places, room, now=now):
            table.unpark(rows[task_id])
            count += 1
    return count


def relieve(table: Table, *, now: Now, limit: int) -> Relieved:
    """Count who runs, free who may go on, and say when the next rate allows more."""
    gates = table.gates
    if not (gates.stored or gates.passed or gates.buckets or gates.breakers):
        return Relieved(0, None)
    _recount(table)
    held = sorted({rule for rule, _ in table.held_counts(1) if is_gate(rule)})
    queues = [name for name in gates.buckets if is_queue(name)]
    wanted = {gate: FREED if is_breaker(gate) else limit for gate in [*held, *queues]}
    count = refill(table, wanted, now=now)
    doorway = Doorway(now)
    gates.meet(doorway, [*held, *queues])
    moments = [gate.frees_at(now) for gate in doorway.known.values() if gate is not None]
    return Relieved(count, min((moment for moment in moments if moment is not None), default=None))


def _recount(table: Table) -> None:
    """Count the running tasks at gates that limit something only since they began."""
    gates = table.gates
    for holder in table.holders.values():
        for task_id, row in holder.running.items():
            if row.state is State.RUNNING:
                for gate in gates_of(row.spec):
                    if gates.settings(gate).gates:
                        gates.count(gate, task_id)


def _put(table: Table, put: LimitPut, now: Now) -> bool:
    """Write one change; say whether it was one."""
    gates = table.gates
    declared, override = before = gates.stored.get(put.gate, ({}, {}))
    if put.declared is not None:
        declared = dict(put.declared)
    if put.changes is not None:
        override = changed(override, put.changes, by=put.by, now=now)
    if (declared, override) == before:
        return False
    gates.put(put.gate, declared, override)
    return True


def _delete(table: Table, gate: str) -> bool:
    gates = table.gates
    declared, override = gates.stored.get(gate, ({}, {}))
    gates.forget(gate)
    gates.put(gate, declared, {})
    return bool(override)


def _after(table: Table, now: Now) -> None:
    table.rang |= RANG_READY
    relieve(table, now=now, limit=_ALL)
