"""The PostgreSQL storage's verbs for limits and breakers, and what this process knows of them for its claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from angelica.clock import Now
from angelica.domain.breaker import Circuit
from angelica.domain.gates import parts_of
from angelica.storage.limit_rules import effective
from angelica.storage.postgres.heads import Level
from angelica.storage.postgres.schedule_verbs import PostgresSchedules
from angelica.storage.postgres.transaction import PostgresStatements
from angelica.storage.protocol import BreakerRow, LimitPut, LimitRow, Relieved
from angelica.storage.rows import from_json
from angelica.storage.verbs import breakers, limits


@dataclass(frozen=True, slots=True)
class Known:
    """What holds for queues and functions in one edition of the limits; no edition where there have never been any."""

    edition: str | None = None
    queues: frozenset[str] = frozenset()
    functions: tuple[str, ...] = ()
    paused: frozenset[str] = frozenset()

    def open(self, levels: Iterable[Level]) -> list[Level]:
        """Return the levels of queues that are not paused."""
        return [level for level in levels if level.queue not in self.paused]

    def limits(self, levels: Iterable[Level]) -> bool:
        """Whether a queue of these levels has a limit."""
        return any(level.queue in self.queues for level in levels)


class PostgresLimits(PostgresSchedules):
    """The part of the PostgreSQL storage that is its `LimitStore` and `BreakerStore`.

    `_known` is as of the last claim; the statement that claims refuses where it is not so any more. `_counted` are
    tasks that count at gates, as far as this process has counted them: their ends go the longer way. Whoever is missing
    there is found by `relieve`.
    """

    _known = Known()

    async def put_limits(self, puts: Sequence[LimitPut], *, now: Now) -> None:
        await self._write(partial(limits.put_limits, puts=puts, now=now))

    async def delete_limits(self, gates: Sequence[str], *, now: Now) -> tuple[bool, ...]:
        return await self._write(partial(limits.delete_limits, gates=gates, now=now))

    async def relieve(self, *, now: Now, limit: int = 100) -> Relieved:
        return await self._write(partial(limits.relieve, now=now, limit=limit))

    async def list_limits(self) -> tuple[LimitRow, ...]:
        return await self._read(limits.list_limits)

    async def force_breaker(
        self, name: str, circuit: Circuit | None, *, now: Now, by: str = "", reason: str = ""
    ) -> BreakerRow:
        return await self._write(
            partial(limits.force_breaker, name=name, circuit=circuit, now=now, by=by, reason=reason)
        )

    async def list_breakers(self) -> tuple[BreakerRow, ...]:
        return await self._read(breakers.list_breakers)

    async def _learn(self, db: PostgresStatements, levels: Sequence[Level]) -> Known:
        """Return what is known of limits, read again where the edition is another."""
        if levels and levels[0].edition != self._known.edition:
            self._known = await _read_known(db, levels[0].edition)
        return self._known


async def _read_known(db: PostgresStatements, edition: str | None) -> Known:
    queues, functions, paused = set(), [], set()
    for gate, declared, override in await db.rows("governing"):
        kind, name, _ = parts_of(gate)
        settings = effective((from_json(declared), from_json(override)), None)
        if settings.paused:
            paused.add(name)
        if settings.gates and kind == "function":
            functions.append(name)
        if (settings.gates or settings.ageing is not None or settings.fair is not None) and kind == "queue":
            queues.add(name)
    return Known(edition, frozenset(queues), tuple(functions), frozenset(paused))
