"""The records: what is known of what can run from what has run, and of commands, which no code declares."""

from __future__ import annotations

from typing import Protocol

from angelica.clock import Clock
from angelica.domain.command import FUNCTION_PREFIX, AllowList
from angelica.domain.suggestion import SAMPLE, Suggestion, suggest
from angelica.runtime.commands.target import EXECUTOR
from angelica.storage.protocol import FunctionRow, Storage


class Allowing(Protocol):
    """The settings that are read here: the commands of this process."""

    @property
    def commands(self) -> AllowList: ...


class Records:
    """The records of one store. Safe to call from any event loop."""

    def __init__(self, storage: Storage, settings: Allowing, clock: Clock) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock

    async def suggest(self, function: str) -> Suggestion:
        """Return the limits that the latest attempts of a function suggest, or of a command (`command:NAME`).

        Time-outs are microseconds, memory is bytes. Of one that is not known, or ran less than ten times, it has none.
        """
        return suggest(await self._storage.recent_attempts(function, limit=SAMPLE))

    async def command(self, name: str) -> FunctionRow | None:
        """Return `command:NAME` as a function, None if neither this process nor a registered worker has it.

        Its doc is the pattern, where this process knows it. It has no code, and so no schema and no defaults.
        """
        if not name.startswith(FUNCTION_PREFIX):
            return None
        own = self._settings.commands.commands.get(name.removeprefix(FUNCTION_PREFIX))
        seen = [row.seen_at for row in await self._storage.list_workers() if name in row.info.functions]
        if own is None and not seen:
            return None
        pattern = "" if own is None else own.pattern
        return FunctionRow(name, 1, EXECUTOR, "", "", pattern, max(seen, default=self._clock.wall()))
