"""Submitting in groups: what gathers while the last inserts are under way becomes one statement."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from angelica.domain.task import NewTask
from angelica.errors import StorageUnavailable, StoreMoved
from angelica.storage.postgres.contention import Contention, contested
from angelica.storage.postgres.faults import Contended
from angelica.storage.protocol import Enqueued, Submitted, Topic
from angelica.storage.verbs.submit import all_created

AT_ONCE: Final = 2
MOST_TASKS: Final = 5_000


@dataclass(slots=True)
class Call:
    """One caller's tasks; `future` gets the answer, on the loop that they all wait on."""

    tasks: Sequence[NewTask]
    wall: int
    future: Future[Enqueued]


Insert = Callable[[Sequence[Call]], Awaitable[Counter[str]]]
"""Writes the tasks of calls as one transaction; returns the ids that stood already, as often as they came in vain."""

Judge = Callable[[Sequence[NewTask], int], Awaitable[Enqueued]]
"""Stores tasks one by one as far as they may be, and says what became of each."""


class Submits:
    """The submits of one event loop."""

    def __init__(self, insert: Insert, judge: Judge) -> None:
        self._insert = insert
        self._judge = judge
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Call] = []
        self._sent = False
        self._flights: set[asyncio.Task[None]] = set()
        self._apart: set[asyncio.Task[None]] = set()
        self.contention = Contention()

    def submit(self, tasks: Sequence[NewTask], wall: int) -> Future[Enqueued]:
        """Store tasks together with whatever else is submitted meanwhile."""
        future: Future[Enqueued] = self._loop.create_future()
        call = Call(tasks, wall, future)
        if self.contention.involves(tasks):
            self._set_apart(call)
            return future
        self._waiting.append(call)
        if not self._sent:
            self._sent = True
            self._loop.call_soon(self._send)
        return future

    def _send(self) -> None:
        self._sent = False
        while self._waiting and len(self._flights) < AT_ONCE:
            calls = self._next()
            flight = self._loop.create_task(self._fly(calls))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)

    def _next(self) -> list[Call]:
        """Take the calls of one statement: all that wait, up to its bound, and one call however large it is."""
        size = 0
        for place, call in enumerate(self._waiting):
            size += len(call.tasks)
            if size > MOST_TASKS and place:
                calls, self._waiting = self._waiting[:place], self._waiting[place:]
                return calls
        calls, self._waiting = self._waiting, []
        return calls

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if self._waiting and not self._sent:
            self._sent = True
            self._loop.call_soon(self._send)

    async def _fly(self, calls: list[Call]) -> None:
        try:
            await self._answer(calls, await self._insert(calls))
        except Contended:
            await self._sort_out(calls)
        except (StorageUnavailable, StoreMoved) as error:
            _refuse(calls, error)
        except Exception as error:  # noqa: BLE001 - one caller's text that is no text is not the others' fault
            if len(calls) == 1:
                _refuse(calls, error)
                return
            for call in calls:
                await self._fly([call])
        except BaseException:
            _refuse(calls, StorageUnavailable("the storage is closed"))
            raise

    async def _sort_out(self, calls: list[Call]) -> None:
        """One of the calls would wait for somebody's open transaction: those that may be it go on by themselves."""
        keyed = [call for call in calls if contested(call.tasks)]
        for call in keyed or calls:
            self._set_apart(call)
        if keyed and len(keyed) < len(calls):
            await self._fly([call for call in calls if not contested(call.tasks)])

    def _set_apart(self, call: Call) -> None:
        waiting = self._loop.create_task(self._wait_out(call))
        self._apart.add(waiting)
        waiting.add_done_callback(self._apart.discard)

    async def _wait_out(self, call: Call) -> None:
        try:
            _settle(call, await self.contention.wait_out(call.tasks, lambda: self._judge(call.tasks, call.wall)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to know
            _refuse([call], error)
        except BaseException:
            _refuse([call], StorageUnavailable("the storage is closed"))
            raise

    async def _answer(self, calls: Sequence[Call], standing: Counter[str]) -> None:
        if not standing:
            for call in calls:
                _settle(call, all_created(call.tasks))
            return
        # Of an id that came several times the first was stored, so those in vain are found from the end.
        vain: list[list[int]] = []
        for call in reversed(calls):
            places = []
            for place in range(len(call.tasks) - 1, -1, -1):
                if standing[call.tasks[place].id] > 0:
                    standing[call.tasks[place].id] -= 1
                    places.append(place)
            vain.append(places[::-1])
        for call, places in zip(calls, reversed(vain), strict=True):
            _settle(call, await self._judged(call, places))

    async def _judged(self, call: Call, places: Sequence[int]) -> Enqueued:
        if not places:
            return all_created(call.tasks)
        items: list[Submitted] = list(all_created(call.tasks).items)
        answer = await self._judge([call.tasks[place] for place in places], call.wall)
        for place, item in zip(places, answer.items, strict=True):
            items[place] = item
        return Enqueued(tuple(items))

    async def close(self) -> None:
        """Finish what was accepted."""
        for waiting in self._apart:
            waiting.cancel()
        await asyncio.sleep(0)  # submits of this turn of the loop are sent at its end
        while self._flights:
            await asyncio.wait(set(self._flights))
            await asyncio.sleep(0)


def stored_topics(calls: Sequence[Call], standing: Counter[str]) -> set[Topic]:
    """Return what to ring for where some of the tasks stood already: of an id that came several times, the first."""
    vain = standing.copy()
    topics: set[Topic] = set()
    for call in reversed(calls):
        for task in reversed(call.tasks):
            if vain[task.id] > 0:
                vain[task.id] -= 1
            else:
                topics.add(Topic.READY if task.run_at <= call.wall else Topic.DUE)
    return topics


def _settle(call: Call, answer: Any) -> None:
    if not call.future.done():
        call.future.set_result(answer)


def _refuse(calls: Sequence[Call], error: BaseException) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(error)
