"""The memory storage's verbs for breakers."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain.breaker import NEW, Breaker, Circuit
from angelica.domain.lifecycle import Completion
from angelica.storage.breaker_rules import breaker_gate, freed, recorded
from angelica.storage.memory_limits import MemoryLimits, refill
from angelica.storage.memory_table import Table
from angelica.storage.protocol import BreakerRow


class MemoryBreakers(MemoryLimits):
    """The part of the memory storage that is its `BreakerStore`."""

    async def force_breaker(
        self, name: str, circuit: Circuit | None, *, now: Now, by: str = "", reason: str = ""
    ) -> BreakerRow:
        with self._lock:
            table = self._open_table()
            breakers = table.gates.breakers
            before = breakers.get(name, NEW)
            after = breakers[name] = before.force(circuit, now, by=by, reason=reason)
            refill(table, freed({name: before}, {name: after}, now=now), now=now)
            row = _row(table, name, after)
        self._ring()
        return row

    async def list_breakers(self) -> tuple[BreakerRow, ...]:
        with self._lock:
            table = self._table
            return tuple([_row(table, name, breaker) for name, breaker in sorted(table.gates.breakers.items())])


def record_call(table: Table, end: Completion, *, now: Now) -> None:
    """Let an attempt that has ended tell of the downstreams that it used."""
    breakers = table.gates.breakers
    before = {name: breakers[name] for name in end.uses if name in breakers}
    after = recorded(before, [end], now=now)
    breakers.update(after)
    for gate, count in freed(before, after, now=now).items():
        table.gates.left[gate] = max(table.gates.left[gate], count)


def _row(table: Table, name: str, breaker: Breaker) -> BreakerRow:
    return BreakerRow(name, breaker, len(table.parked(breaker_gate(name))))
