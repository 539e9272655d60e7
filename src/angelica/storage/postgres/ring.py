"""Wake-ups between processes: one notification for all that happened within ten milliseconds, and a listener a loop."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final

from angelica.clock import MILLISECOND, SECOND, tick_micros
from angelica.errors import StorageUnavailable
from angelica.storage.bells import Bells
from angelica.storage.postgres.connections import FIRST_PAUSE, LONGEST_PAUSE, Options, Raw, connect, drop
from angelica.storage.protocol import Topic

TOGETHER: Final = 10 * MILLISECOND
"""A commit that notifies takes a lock of the whole server, so a process does it at most a hundred times a second."""

AT_ONCE: Final = 20
"""How many notifications may follow each other at once: below the bound above, none has to wait for its turn."""

_LETTERS: Final = {topic: topic.value[0] if topic is not Topic.DUE else "u" for topic in Topic}
_TOPICS: Final = {letter: topic for topic, letter in _LETTERS.items()}


def words(name: str, topics: Collection[Topic]) -> str:
    """Return the notification of topics; without a name every process takes it for another's."""
    return f"{name}:{''.join(sorted(_LETTERS[topic] for topic in topics))}"


class Ring:
    """The wake-ups of one open storage, of any of its event loops.

    Rings of this process reach its own waiters at once. `name` tells its notifications from those of others.
    `tell` sends what is owed when nothing is written that could carry it.
    """

    def __init__(
        self, options: Options, name: str, *, tell: Callable[[str], Awaitable[object]], chance: Callable[[], float]
    ) -> None:
        self._options = options
        self._name = name
        self._tell = tell
        self._chance = chance
        self._bells = Bells()
        self._lock = Lock()
        self._spent_until = 0
        self._owed: set[Topic] = set()
        self._due = False
        self._listeners: dict[AbstractEventLoop, asyncio.Task[None]] = {}
        self._tellers: set[asyncio.Task[None]] = set()

    def mark(self, topic: Topic) -> int:
        return self._bells.mark(topic)

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        self.listen()
        return await self._bells.wait(topic, since, timeout)

    def ring(self, topics: Collection[Topic]) -> None:
        """Wake the waiters of this process."""
        for topic in topics:
            self._bells.ring(topic)

    def committed(self, topics: Collection[Topic], *, told: bool) -> None:
        """Wake the waiters of this process, and those of others soon unless the commit has `told` them."""
        self.ring(topics)
        if told or not topics:
            return
        with self._lock:
            self._owed |= set(topics)
            if self._due:
                return
            self._due = True
        asyncio.get_running_loop().call_later(TOGETHER / SECOND, self._later)

    def payload(self, topics: Collection[Topic]) -> str | None:
        """Return what the statement at hand is to notify; None if nothing, or if it is too soon after the last."""
        if not topics:
            return None
        now = tick_micros()
        with self._lock:
            if self._spent_until - now > (AT_ONCE - 1) * TOGETHER:
                return None
            self._spend(now)
            said, self._owed = self._owed | set(topics), set()
        return words(self._name, said)

    def _spend(self, now: int) -> None:
        """Take one notification out of the bucket, which one flows into every ten milliseconds."""
        self._spent_until = max(self._spent_until, now) + TOGETHER

    def _later(self) -> None:
        with self._lock:
            self._due = False
            said, self._owed = self._owed, set()
            self._spend(tick_micros())
        if said:
            teller = asyncio.get_running_loop().create_task(self._say(words(self._name, said)))
            self._tellers.add(teller)
            teller.add_done_callback(self._tellers.discard)

    async def _say(self, words: str) -> None:
        with suppress(StorageUnavailable):  # a hint: without it there is the poll
            await self._tell(words)

    def listen(self) -> None:
        """Have the running loop listen, unless it does already; through a pooler nobody can."""
        if self._options.address.pooler is not None:
            return
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._listeners:
                self._listeners[loop] = loop.create_task(self._listen(), name="angelica-postgres-listener")

    async def _listen(self) -> None:
        failures = missed = 0
        while True:
            ended = asyncio.Event()
            connection: Raw | None = None
            try:
                connection = await connect(self._options, name="angelica listener")
                connection.add_termination_listener(partial(_ended, ended))
                await connection.add_listener(self._options.address.channel, self._heard)
                if missed:
                    self.ring(list(Topic))  # whatever was said while nobody listened
                failures, missed = 0, 1
                await ended.wait()
            except Exception:  # noqa: BLE001 - whatever it was, there is the poll, and another try
                failures = min(failures + 1, 10)
            finally:
                if connection is not None:
                    await _leave(connection)
            await asyncio.sleep(min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE) * (0.5 + self._chance()))

    def _heard(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        name, _, letters = str(payload).partition(":")
        if name != self._name:
            self.ring([_TOPICS[letter] for letter in letters if letter in _TOPICS])

    async def close(self) -> None:
        """Listen no more."""
        with self._lock:
            listeners, self._listeners = self._listeners, {}
        here = asyncio.get_running_loop()
        for loop, listener in listeners.items():
            if loop is here:
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener
            else:
                with suppress(RuntimeError):  # its loop is closed, and the listener has ended with it
                    loop.call_soon_threadsafe(listener.cancel)
        for teller in self._tellers:
            teller.cancel()
        self.ring(list(Topic))  # lets those go who wait


async def _leave(connection: Raw) -> None:
    with suppress(Exception):
        await connection.close(timeout=0.5)
    drop(connection)


def _ended(event: asyncio.Event, _connection: Any) -> None:
    event.set()
