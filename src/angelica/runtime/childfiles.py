"""Watching source files for the development reload, by looking at their times and sizes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Final

INTERVAL: Final = 0.5


class FileWatch:
    """Remembers how files looked and tells which ones changed since."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int] | None] = {}

    def follow(self, files: Iterable[str]) -> None:
        """Watch these files too, as they are now."""
        for name in files:
            if name not in self._seen:
                self._seen[name] = _look(name)

    def changed(self) -> list[str]:
        """Return the files that changed, came or went since the last call."""
        found = []
        for name, before in self._seen.items():
            now = _look(name)
            if now != before:
                self._seen[name] = now
                found.append(name)
        return found

    async def run(self, on_change: Callable[[list[str]], None], interval: float = INTERVAL) -> None:
        """Call `on_change` with the changed files, looking every `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            if files := self.changed():
                on_change(files)


def _look(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)  # noqa: PTH116 - called for each file twice a second; Path would triple its cost
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
