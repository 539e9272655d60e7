"""The SQLite storage's verbs for limits and breakers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from angelica.clock import Now
from angelica.domain.breaker import Circuit
from angelica.storage.protocol import BreakerRow, LimitPut, LimitRow, Relieved
from angelica.storage.sqlite.schedule_verbs import SqliteSchedules
from angelica.storage.verbs import breakers, limits


class SqliteLimits(SqliteSchedules):
    """The part of the SQLite storage that is its `LimitStore` and `BreakerStore`."""

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
