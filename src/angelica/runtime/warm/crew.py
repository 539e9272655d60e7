"""The crew: the warm children of one worker. Started when they are wanted, replaced when they are worn or dead."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from angelica.errors import AngelicaError
from angelica.runtime.warm.child import WarmChild
from angelica.runtime.warm.spawn import Remains, Spawned
from angelica.runtime.warm.wire import Setup, Up

log: Final = logging.getLogger("angelica.worker")

START_TIME: Final = 60.0
"""Seconds in which a child must have loaded the application."""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
LAST_WORDS: Final = 1.0
"""Seconds that idle children get to end by themselves when the worker leaves, and dead ones to be reaped."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What the `process` executor needs to know.

    `slots` children at most; `grace` seconds between a polite stop and a forced one. A child is replaced after
    `max_tasks` attempts, above `max_memory` bytes after an attempt, or when it is `max_age` microseconds old (None:
    not for that). `setup` tells what a child loads; it raises `NotLoadable`.
    """

    slots: int
    grace: float
    max_tasks: int | None
    max_memory: int | None
    max_age: int | None
    setup: Callable[[], Setup]


class Crew:
    """Starts children up to `settings.slots`, and waits longer and longer while they cannot start."""

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        chance: Callable[[], float],
        on_news: Callable[[WarmChild, Sequence[Up]], None],
        on_death: Callable[[WarmChild, Remains], None],
        on_change: Callable[[], None],
    ) -> None:
        self.children: list[WarmChild] = []
        self.problem: str | None = None
        self.closed = False
        self._settings = settings
        self._chance = chance
        self._on_news = on_news
        self._on_death = on_death
        self._on_change = on_change
        self._death = asyncio.Event()
        self._numbers = itertools.count(1)
        self._failures = 0
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> list[WarmChild]:
        """Return the children that may be given assignments."""
        return [child for child in self.children if child.is_open]

    @property
    def starting(self) -> int:
        """How many are on their way."""
        return sum(child.names is None and not child.leaving for child in self.children)

    @property
    def able(self) -> bool:
        """Whether there are children, or nothing is known that keeps them from starting."""
        return self.problem is None or any(child.names is not None and not child.leaving for child in self.children)

    def want(self, count: int) -> None:
        """Start children for `count` assignments that find no room, as far as there are slots."""
        here = sum(not child.leaving for child in self.children)
        if self._pause is not None or self.closed:
            return
        for _ in range(min(self._settings.slots - here, count - self.starting)):
            if not self._start():
                return

    def _start(self) -> bool:
        mark = f"{os.getpid()}-{next(self._numbers)}-{int(self._chance() * (1 << 32)):08x}"
        try:
            setup = self._settings.setup()
            spawned = Spawned(mark)
        except (AngelicaError, OSError) as error:
            self._failed(str(error))
            return False
        child = WarmChild(spawned, setup, on_news=self._on_news, on_death=self._died)
        child.timer = asyncio.get_running_loop().call_later(START_TIME, self._too_slow, child)
        self.children.append(child)
        return True

    def _too_slow(self, child: WarmChild) -> None:
        child.failure = child.failure or f"it did not load the application within {START_TIME:g} s"
        child.kill()

    def ready(self, child: WarmChild, names: frozenset[str]) -> None:
        """A child has loaded the application."""
        if child.timer is not None:
            child.timer.cancel()
        child.names = names
        self._failures = 0
        self.problem = None

    def wear(self, child: WarmChild, rss: int) -> None:
        """Count an attempt of a child whose memory (bytes) is `rss`; give it nothing more if it is worn."""
        child.ended += 1
        settings = self._settings
        worn = (
            (settings.max_tasks is not None and child.ended >= settings.max_tasks)
            or (settings.max_memory is not None and rss > settings.max_memory)
            or child.is_overdue(settings.max_age)
        )
        child.leaving = child.leaving or worn

    def retire(self, child: WarmChild) -> None:
        """Let a child that runs nothing end by itself, within the grace time."""
        child.retire()
        child.timer = asyncio.get_running_loop().call_later(self._settings.grace, child.kill)

    def _died(self, child: WarmChild, remains: Remains) -> None:
        self.children.remove(child)
        ran_nothing = child.ended == 0 and child.running is None
        if child.names is None or (ran_nothing and not child.leaving):
            code = remains.returncode
            self._failed(child.failure or f"it ended with {code} before it ran anything", child.detail)
        elif child.failure:
            log.error("a child process was ended: %s", child.failure)
        self._on_death(child, remains)
        self._death.set()

    def _failed(self, why: str, detail: str = "") -> None:
        """A child could not start: say so, and try again later."""
        if self.closed:
            return
        text = f"child processes cannot start: {why}"
        if text != self.problem:
            log.error("%s%s", text, f"\n{detail}" if detail else "")
        self.problem = text
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE) * (0.5 + self._chance())
        self._failures = min(self._failures + 1, 16)
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(pause, self._try_again)

    def _try_again(self) -> None:
        self._pause = None
        self.want(1)  # also if nothing waits: only a child that starts tells that they can again
        self._on_change()

    # -- the end ----------------------------------------------------------------------------------------------------

    async def halt(self) -> None:
        """End all children that run something, and wait for their deaths."""
        for child in list(self.children):
            if child.running is not None:
                child.told = True
                child.kill()
        await self._until(lambda: not any(child.running for child in self.children))

    async def close(self) -> None:
        """Let idle children end, then end all."""
        self.closed = True
        if self._pause is not None:
            self._pause.cancel()
        for child in list(self.children):
            if child.names is None or child.running is not None:
                child.kill()
            else:
                child.retire()
        await self._until(lambda: not self.children)
        for child in list(self.children):
            child.kill()
        await self._until(lambda: not self.children)

    async def _until(self, holds: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                while not holds():
                    self._death.clear()
                    await self._death.wait()
