"""The breakers of a store: how each stands, and what operators set."""

from __future__ import annotations

from typing import Final, Literal

from angelica import strict_json
from angelica.clock import Clock, Now
from angelica.domain.breaker import NEW, Circuit
from angelica.domain.gates import check_name
from angelica.errors import InvalidValue, NotFound
from angelica.storage.protocol import BreakerRow, Storage

Word = Literal["open", "closed", "reset"]
WORDS: Final = ("open", "closed", "reset")
_CIRCUITS: Final = {"open": Circuit.OPEN, "closed": Circuit.CLOSED, "reset": None}


class Breakers:
    """What is known of downstreams. Safe to call from any event loop."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def now(self) -> Now:
        """Return the clock by which they open and close."""
        return self._clock.now()

    async def all(self) -> tuple[BreakerRow, ...]:
        """Return those that anything was recorded or set at, and those that a registered function uses, by name."""
        rows = {row.name: row for row in await self._storage.list_breakers()}
        for function in await self._storage.list_functions():
            for name in strict_json.loads(function.defaults).get("uses", ()):
                rows.setdefault(name, BreakerRow(name, NEW))
        return tuple(rows[name] for name in sorted(rows))

    async def one(self, name: str) -> BreakerRow:
        """Return one of them; raises `NotFound`."""
        found = next((row for row in await self.all() if row.name == name), None)
        if found is None:
            raise NotFound(f"there is no breaker {name[:200]!r}: no function that is registered uses it")
        return found

    async def set(self, name: str, word: str, *, by: str = "", reason: str = "") -> BreakerRow:
        """Keep a breaker `open` or `closed` until told otherwise, or `reset` it; returns it as it stands then.

        Raises `InvalidValue`, and `NotFound` for one to reset that nobody knows.
        """
        if word not in WORDS:
            raise InvalidValue("/state", f"must be one of {', '.join(WORDS)}; not {word!r}")
        try:
            check_name(name)
        except ValueError as error:
            raise InvalidValue("/name", str(error)) from None
        if word == "reset":
            await self.one(name)
        return await self._storage.force_breaker(name, _CIRCUITS[word], now=self._clock.now(), by=by, reason=reason)
