"""Where the ready rows of each lane begin, for times in which what was taken cannot be cleared away.

A transaction anywhere in the server that holds an old snapshot keeps every entry of the index `ready` that died since.
They all stand at its head, so that each claim would walk over everything that was ever taken before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

from angelica.clock import MILLISECOND, SECOND, Now, tick_micros
from angelica.domain.lanes import kind_of, may_take
from angelica.domain.task import EXECUTORS
from angelica.ending import end
from angelica.errors import AngelicaError, StorageUnavailable
from angelica.storage.postgres.transaction import PostgresStatements, PostgresTransaction
from angelica.storage.protocol import Claim
from angelica.storage.verbs.transaction import Freed

R = TypeVar("R")

SLOW: Final = 5 * MILLISECOND
"""A look that takes longer may have walked over many dead entries."""

CLOGGED: Final = 2_000
"""So many entries met in one look cannot be the ready rows alone, of which few are met in each lane."""

LATE: Final = SECOND // 2
"""What was submitted so long ago is committed: younger rows may still come before those that are there."""

AGAIN: Final = 1.0
SHARE: Final = 10
"""What stands before a head is looked for once a second, and for at most this part of the time."""

FORGOTTEN: Final = 10 * SECOND
ROUNDS: Final = 10
"""How many times a look goes on from new lanes to those beside them; the next one goes on from there."""

_LOWEST: Final = -(2**31)
_HIGHEST: Final = 2**31 - 1

Queues = tuple[str, ...] | None
LaneName = tuple[str, str, int]
Head = tuple[int, str]
BEGINNING: Final[Head] = (-(2**63), "")


class Level(NamedTuple):
    """What one look saw of (executor, queue, priority), from `since` on.

    `ready` is None where there is nothing to share out, `edition` is that of the limits.
    """

    executor: str
    queue: str
    priority: int
    oldest: int
    ready: int | None
    edition: str | None = None
    since: Head = BEGINNING


def told(level: Level) -> tuple[str, str, int, int]:
    """Return a level as the verbs know it: (lane, queue, priority, oldest `run_at`)."""
    return level[:4]


Run = Callable[[Callable[[PostgresTransaction], Awaitable[Any]]], Awaitable[Any]]
"""Runs work in a transaction of its own."""


class Heads:
    """The heads of the lanes, by the queues of the claims that look for them.

    In ordinary times there are none: each claim looks from the beginning, and the order is strict. When a look was
    slow, and a second one finds that it walked over dead entries, the heads of its lanes are remembered. Claims then
    look from there, and for new lanes between those that are known. What stands before a head (it was handed back, or
    it was due long ago) is found by a look of its own once a second, and so is that the times are ordinary again. What
    this process has freed from a limit moves the head of its lane back at once.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[Queues, dict[LaneName, Head]] = {}
        self._asked: dict[Queues, int] = {}
        self._watchers: dict[Queues, asyncio.Task[None]] = {}

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._known)

    def move_back(self, freed: Iterable[Freed]) -> None:
        """Look from these rows on again where they stand before a head. To be called after the commit."""
        for heads in self._known.values():
            for row in freed:
                lane = (row.executor, row.queue, row.priority)
                if lane in heads:  # else it is found as a new one
                    heads[lane] = min(heads[lane], (row.run_at, row.id))

    async def look(self, db: PostgresStatements, claim: Claim, now: Now) -> list[Level]:
        """Return the levels that have ready rows and room."""
        kinds = [executor for executor, room in claim.room if room > 0]
        if claim.wanted <= 0 or not kinds or claim.queues == ():
            return []
        if claim.select:
            return await _look_selected(db, kinds, claim)
        return [level for level in await self._look(db, kinds, claim, now) if may_take(level.executor, claim.offer)]

    async def _look(self, db: PostgresStatements, kinds: Sequence[str], claim: Claim, now: Now) -> list[Level]:
        self._asked[claim.queues] = began = tick_micros()
        heads = self._known.get(claim.queues)
        if heads is not None:
            await _look_beside(db, heads, claim.queues)
            return await _look_on(db, heads, kinds, claim.wanted, now)
        levels = await _look(db, kinds, claim.queues, claim.wanted)
        if tick_micros() - began > SLOW:
            self._suspect(claim.queues, now)
        return levels

    def _suspect(self, queues: Queues, now: Now) -> None:
        watcher = self._watchers.get(queues)
        if watcher is None or watcher.done():
            self._watchers[queues] = asyncio.get_running_loop().create_task(self._watch(queues, now))

    async def _watch(self, queues: Queues, now: Now) -> None:
        """Keep the heads as long as there is a need of them, and of claims."""
        full = partial(_look, kinds=EXECUTORS, queues=queues, wanted=1)
        try:
            levels, entries = await self._counted(full)
            heads = {(level.executor, level.queue, level.priority): (level.oldest, "") for level in levels}
            if entries >= CLOGGED:  # many may have come at the same moment, so where they begin is not all
                await self._run(partial(_look_on, heads=heads, kinds=EXECUTORS, wanted=1, now=now))
            while entries >= CLOGGED and tick_micros() - self._asked[queues] < FORGOTTEN:
                self._known[queues] = heads
                began = tick_micros()
                with suppress(StorageUnavailable):  # or it takes longer than any call may: claims go on from the heads
                    _, entries = await self._counted(partial(_look_before, heads=heads))
                    if entries < CLOGGED:  # or only a head has moved back
                        _, entries = await self._counted(full)
                await asyncio.sleep(max(AGAIN, (tick_micros() - began) / SECOND * SHARE))
        except AngelicaError:  # the next slow look tries again
            return
        finally:
            self._known.pop(queues, None)

    async def _counted(self, look: Callable[[PostgresTransaction], Awaitable[R]]) -> tuple[R, int]:
        async def work(tx: PostgresTransaction) -> tuple[R, int]:
            before = int(await tx.value("entries_met"))
            return await look(tx), int(await tx.value("entries_met")) - before

        counted: tuple[R, int] = await self._run(work)
        return counted

    async def close(self) -> None:
        """Look no more; the watchers of other loops end with those."""
        here = asyncio.get_running_loop()
        mine = [watcher for watcher in self._watchers.values() if watcher.get_loop() is here]
        await end(*mine)
        self._watchers.clear()


async def _look(db: PostgresStatements, kinds: Sequence[str], queues: Queues, wanted: int) -> list[Level]:
    """Look from the beginning."""
    names = None if queues is None else list(dict.fromkeys(queues))
    return [Level(*row) for row in await db.fetch("ready_levels", list(kinds), names, wanted)]


async def _look_selected(db: PostgresStatements, kinds: Sequence[str], claim: Claim) -> list[Level]:
    """Look at every ready row for a worker that takes only tasks with certain labels."""
    names = None if claim.queues is None else list(dict.fromkeys(claim.queues))
    wanted = (list(claim.select), list(claim.select.values()))
    rows = await db.fetch("selected_levels", list(kinds), names, claim.wanted, *wanted)
    return [level for level in (Level(*row) for row in rows) if may_take(level.executor, claim.offer)]


async def _look_on(
    db: PostgresStatements, heads: dict[LaneName, Head], kinds: Sequence[str], wanted: int, now: Now
) -> list[Level]:
    """Look from the heads, and move them on to where the ready rows begin now."""
    lanes = [(lane, head) for lane, head in heads.items() if kind_of(lane[0]) in kinds]
    rows = await db.fetch("levels_from", *_columns([(*lane, *head) for lane, head in lanes], 5), wanted)
    found = {place - 1: rest for place, *rest in rows}
    levels = []
    for place, (lane, head) in enumerate(lanes):
        run_at, id_, ready, edition = found.get(place, (now.wall, "", None, None))
        if heads.get(lane) == head:  # else it has been moved back meanwhile
            heads[lane] = max(head, min((run_at, id_), (now.wall - LATE, "")))
        if place in found:
            levels.append(Level(*lane, run_at, ready, edition, head))
    return levels


async def _look_beside(db: PostgresStatements, heads: dict[LaneName, Head], queues: Queues) -> None:
    """Add the lanes that have come beside those that are known, which may be between two others."""
    for _ in range(ROUNDS):
        names = sorted({queue for _, queue, _ in heads})
        between = list(pairwise([None, *names, None])) if queues is None else []
        lanes = {queue: dict[str, list[int]]() for queue in (names if queues is None else queues)}
        for executor, queue, priority in heads:
            lanes[queue].setdefault(executor, []).append(priority)
        beside = [
            (queue, after, before)
            for queue, known in lanes.items()
            for after, before in pairwise([None, *sorted(known), None])
        ]
        within = [
            (queue, executor, above, below)
            for queue, known in lanes.items()
            for executor, priorities in known.items()
            for above, below in pairwise([_LOWEST, *sorted(priorities), _HIGHEST])
        ]
        rows = await db.fetch("levels_beside", *_columns(between, 2), *_columns(beside, 3), *_columns(within, 4))
        for executor, queue, priority, run_at, id_ in rows:
            heads[executor, queue, priority] = (run_at, id_)
        if not rows:
            return


async def _look_before(db: PostgresStatements, heads: dict[LaneName, Head]) -> None:
    """Move heads back to what is ready before them."""
    for lane, head in list(heads.items()):
        for run_at, id_ in await db.fetch("ready_before", *lane, *head):
            heads[lane] = min(heads[lane], (run_at, id_))


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
