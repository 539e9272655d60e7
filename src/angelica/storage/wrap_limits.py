"""The verbs of limits and breakers in a storage around a storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angelica.clock import Now
from angelica.domain.breaker import Circuit
from angelica.storage.protocol import BreakerRow, LimitPut, LimitRow, Relieved
from angelica.storage.wrap_schedules import WrappedSchedules

LIMIT_WRITES: Final = frozenset({"put_limits", "delete_limits", "relieve", "force_breaker"})
LIMIT_READS: Final = frozenset({"list_limits", "list_breakers"})


class WrappedLimits(WrappedSchedules):
    """The part of `Wrapping` that is its `LimitStore` and `BreakerStore`."""

    async def put_limits(self, puts: Sequence[LimitPut], *, now: Now) -> None:
        await self._call("put_limits", lambda: self.inner.put_limits(puts, now=now))

    async def delete_limits(self, gates: Sequence[str], *, now: Now) -> tuple[bool, ...]:
        return await self._call("delete_limits", lambda: self.inner.delete_limits(gates, now=now))

    async def relieve(self, *, now: Now, limit: int = 100) -> Relieved:
        return await self._call("relieve", lambda: self.inner.relieve(now=now, limit=limit))

    async def list_limits(self) -> tuple[LimitRow, ...]:
        return await self._call("list_limits", self.inner.list_limits)

    async def force_breaker(
        self, name: str, circuit: Circuit | None, *, now: Now, by: str = "", reason: str = ""
    ) -> BreakerRow:
        return await self._call(
            "force_breaker", lambda: self.inner.force_breaker(name, circuit, now=now, by=by, reason=reason)
        )

    async def list_breakers(self) -> tuple[BreakerRow, ...]:
        return await self._call("list_breakers", self.inner.list_breakers)
