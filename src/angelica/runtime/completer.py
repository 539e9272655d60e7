"""The completer: gathers what ended and exchanges it, one batch a beat, for what comes next."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from angelica.domain.lifecycle import Completion
from angelica.domain.placement import Late
from angelica.ending import end
from angelica.errors import StorageError, StorageUnavailable
from angelica.runtime.assignment import Assignment
from angelica.runtime.means import Means
from angelica.runtime.pace import paced
from angelica.runtime.placement import Placement
from angelica.runtime.room import Room
from angelica.storage.answers import accepted_before
from angelica.storage.protocol import Claim, Exchanged, LogLine, Note, Storage, Topic, WorkerInfo

log: Final = logging.getLogger("angelica.worker")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Written:
    """What one exchange wrote: the ends with the store's answers, and what came back."""

    ends: Sequence[tuple[Assignment, Completion]]
    reply: Exchanged


class Completer:
    """One exchange at a time: ends gather while the last one is under way, so batches grow with the load.

    `claiming` False stops new claims, and so does `trusted` while it says that the worker does not believe in its own
    lease: what it claimed then it would only hand back, attempt after attempt. A kind of executor is hungry while the
    store may have more for it: after a ring, after the poll interval and after a full claim; a claim that came back
    short of a kind stills it. `known` are the functions that the worker has code for. `on_kept` is told for which task
    the worker keeps itself free, whenever that changes.
    """

    def __init__(
        self,
        storage: Storage,
        info: WorkerInfo,
        room: Room,
        placement: Placement,
        *,
        means: Means,
        poll: float,
        on_written: Callable[[Written], None],
    ) -> None:
        self.claiming = True
        self.trusted: Callable[[], bool] | None = None
        self.on_kept: Callable[[Late | None], object] | None = None
        self.problem: str | None = None
        self._kept: Late | None = None
        self._storage = storage
        self._worker = info.id
        self._room = room
        self._placement = placement
        self._clock = means.clock
        self._chance = means.chance
        self._poll = poll
        self._queues = info.queues
        self._labels = info.labels
        self._select = info.select
        self.known = frozenset(info.functions)
        self._on_written = on_written
        self._ends: list[tuple[Assignment, Completion]] = []
        self._unsure = 0  # how many of them, from the first, were sent by a call whose outcome is unknown
        self._lines: list[LogLine] = []
        self._notes: list[Note] = []
        self._nudged = asyncio.Event()
        self._flushed = asyncio.Event()
        self._hungry = room.kinds
        self._turn = 0
        self._loops: list[asyncio.Task[None]] = []
        self._in_flight = False

    def start(self) -> None:
        """Begin, on the running event loop."""
        loop = asyncio.get_running_loop()
        self._loops = [
            loop.create_task(self._run(), name="angelica-completer"),
            loop.create_task(self._listen(), name="angelica-listener"),
        ]
        self._nudged.set()

    async def stop(self) -> None:
        """End the loops; what is not written yet is left to the lease."""
        await end(*self._loops)

    def add(self, assignment: Assignment, end: Completion, lines: Sequence[LogLine], note: Note | None) -> None:
        """Take an ended attempt with its last log lines and its last note."""
        if lines:
            self._lines.extend(lines)
        if note is not None:
            self._notes.append(note)
        self._ends.append((assignment, end))
        if not self._nudged.is_set():
            self._nudged.set()

    def freed(self) -> None:
        """Slots became free without an end to write."""
        self._nudged.set()

    def hunger(self) -> None:
        """The store may have something for every kind."""
        self._hungry = self._room.kinds
        self._nudged.set()

    async def flush(self) -> None:
        """Wait until everything added so far has been written."""
        while self._ends or self._in_flight:
            self._flushed.clear()
            self._nudged.set()
            await self._flushed.wait()

    async def _listen(self) -> None:
        """Turn rings, and the passing of the poll interval, into hunger."""
        mark = self._storage.mark(Topic.READY)
        while True:
            pause = paced(self._poll)
            try:
                mark = await self._storage.wait(Topic.READY, mark, pause)
            except StorageError:  # a wake-up is a hint: without it there is the poll
                await asyncio.sleep(pause)
            self.hunger()

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._nudged.wait()
            self._nudged.clear()
            try:
                while await self._exchange():
                    failures = 0
            except Exception as error:  # noqa: BLE001 - nothing may end the one loop that writes ends
                failures += 1
                self._report(error, failures)
                pause = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
                await asyncio.sleep(pause * (0.5 + self._chance()))
                self._nudged.set()

    async def _exchange(self) -> bool:
        """Write what ended and claim what fits; return whether there may be more to do at once."""
        claim = self._claim()
        if not self._ends and claim is None:
            self._flushed.set()
            return False
        ends, self._ends = self._ends, []
        unsure, self._unsure = self._unsure, 0
        lines, self._lines = self._lines, []
        notes, self._notes = self._notes, []
        if claim is not None:
            self._hungry = self._hungry - {kind for kind, _ in claim.room}
        self._in_flight = True
        try:
            if notes:  # rare, so not worth a place in every exchange; an end must not overtake its note
                await self._storage.annotate(notes)
            reply = await self._storage.exchange([end for _, end in ends], claim, now=self._clock.now(), journal=lines)
        except BaseException:
            # The outcome may be unknown: ends are fenced and claims come back as strays, so all of it may be repeated.
            self._again(ends)
            self._lines[:0] = lines
            self._notes[:0] = notes
            self._hungry = self._room.kinds
            raise
        finally:
            self._in_flight = False
        self.problem = None
        if claim is not None:
            self._hungry |= _still_hungry(claim, reply)
            if reply.claimed:
                self._room.hoards = not reply.gated
            if reply.kept != self._kept:
                self._kept = reply.kept
                if self.on_kept is not None:
                    self.on_kept(reply.kept)
        await self._settle(Written(ends, reply), unsure)
        return True

    def _again(self, ends: Sequence[tuple[Assignment, Completion]]) -> None:
        """Send ends once more, before all others."""
        self._ends[:0] = ends
        self._unsure = len(ends)

    async def _settle(self, written: Written, unsure: int) -> None:
        """Tell what was written; of the first `unsure` ends one that is refused may have been written before."""
        ends, accepted = written.ends, written.reply.accepted
        if all(accepted[:unsure]):
            self._on_written(written)
            return
        self._in_flight = True
        try:
            sent = [end for _, end in ends[:unsure]]
            accepted = (*await accepted_before(self._storage, sent, accepted[:unsure]), *accepted[unsure:])
        except BaseException:
            # They are asked about again after the next exchange; what this one claimed must not wait for that.
            sure = [place for place, ok in enumerate(accepted) if ok or place >= unsure]
            self._again([ends[place] for place in range(unsure) if not accepted[place]])
            reply = replace(written.reply, accepted=tuple([accepted[place] for place in sure]))
            self._on_written(Written([ends[place] for place in sure], reply))
            raise
        finally:
            self._in_flight = False
        self._on_written(Written(ends, replace(written.reply, accepted=accepted)))

    def _claim(self) -> Claim | None:
        if not (self.claiming and self._hungry) or (self.trusted is not None and not self.trusted()):
            return None
        # What says what it needs has to be seen in all kinds at once, or one kind would pass the other for ever.
        room, wanted = self._room.now(self._room.kinds if self._placement.busy else self._hungry)
        if wanted <= 0:
            return None
        self._turn += 1
        space = self._placement.space(self._room.slots())
        return Claim(
            self._worker, wanted, room, self._queues, self._turn, self._labels, self.known, self._select, space
        )

    def _report(self, error: Exception, failures: int) -> None:
        self.problem = str(error) or repr(error)
        if isinstance(error, StorageError):
            if failures == 1 or not isinstance(error, StorageUnavailable):
                log.warning("the store does not take our ends (%d waiting): %s", len(self._ends), error)
        else:
            log.error("an exchange with the store failed (%d in a row)", failures, exc_info=error)


def _still_hungry(claim: Claim, reply: Exchanged) -> set[str]:
    """Return the kinds of which a claim took all it could, so that the store may well have more of them."""
    if len(reply.claimed) >= claim.wanted:
        return {kind for kind, _ in claim.room}
    if not reply.claimed:
        return set()
    taken: Counter[str] = Counter([task.spec.executor for task in reply.claimed])
    return {kind for kind, room in claim.room if taken[kind] >= room}
