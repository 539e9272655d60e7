"""Connections of one event loop: made when needed, given back to be used again, thrown away at the first doubt."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from angelica.clock import SECOND, tick_micros
from angelica.ending import end
from angelica.errors import AngelicaError, StorageUnavailable
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.faults import is_refusal, said, translate

Raw = asyncpg.Connection

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds without a try after a failed one: short enough to be back soon, long enough to cost nothing."""

_ALIVE: Final = (
    ("TCP_KEEPIDLE", 5),
    ("TCP_KEEPINTVL", 3),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 10_000),  # milliseconds that sent bytes may stay unacknowledged
)

# With these the planner has one way for each of our statements, whatever its statistics say or do not say: through the
# index that was made for it. A hash join over `unnest` would read the whole table for a batch of one.
PLANNER: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "random_page_cost": "1.1",
    "jit": "off",
}
BOUNDS: Final = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
}


@dataclass(frozen=True, slots=True)
class Options:
    """How connections are made. In seconds, `connect_timeout` bounds one try and `patience` one call with its waits."""

    address: Address
    most: int = 4
    connect_timeout: float = 5.0
    patience: float = 12.0
    synchronous: str | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What each session is set to."""
        known = {**PLANNER, **BOUNDS}
        if self.synchronous is not None:
            known["synchronous_commit"] = self.synchronous
        return known


async def connect(options: Options, *, name: str = "angelica") -> Raw:
    """Open one connection; raises `StorageUnavailable`."""
    pooled = options.address.pooler is not None
    settings = {} if pooled else {**options.settings, "application_name": name}
    try:
        # No `wait_for`: it runs the driver in a task of its own, and may lose what that has just opened to a cancel.
        async with asyncio.timeout(options.connect_timeout + 1):
            connection = await asyncpg.connect(
                options.address.dsn,
                timeout=options.connect_timeout,
                statement_cache_size=0 if pooled else 256,
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=64 * 1024,
                server_settings=settings,
            )
    except Exception as error:
        raise _refused(options, error) from error
    _keep_alive(connection)
    return connection


def _refused(options: Options, error: Exception) -> Exception:
    told = translate(error)
    if "unsupported startup parameter" in said(error):
        return StorageUnavailable(f"{options.address.shown} leads to a pooler: add ?pooler=transaction to the address")
    if isinstance(error, asyncpg.InterfaceError):  # it may cite the address; the server never cites a password
        return StorageUnavailable(options.address.hide(str(told)))
    if isinstance(told, AngelicaError):
        return told
    # A wrong option of the URL, a bad host name: the driver says it in words of its own.
    return StorageUnavailable(f"{options.address.shown}: {options.address.hide(said(error))}")


def _keep_alive(connection: Raw) -> None:
    """Notice a peer that is silently gone within seconds, not within TCP's quarter of an hour."""
    found = getattr(connection, "_transport", None)
    raw = None if found is None else found.get_extra_info("socket")
    if raw is None or raw.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _ALIVE:
        if hasattr(socket, option):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Connections:
    """At most `options.most` at once; who comes when all are out waits its turn. Used on its own event loop alone."""

    def __init__(self, options: Options, chance: Callable[[], float]) -> None:
        self._options = options
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._idle: list[Raw] = []
        self._out: set[Raw] = set()
        self._turns = asyncio.Semaphore(options.most)
        self._failures = 0
        self._not_before = 0
        self._reason = ""
        self._closed = False
        self._keeper = self._loop.create_task(self._keep(), name="angelica-postgres-keeper")

    async def _keep(self) -> None:
        """Close all when the loop ends, which cancels its last tasks: it may be one of many short ones."""
        try:
            await self._loop.create_future()
        finally:
            await self._close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Raw]:
        """Lend a connection. It is thrown away if the block ends in anything but a refusal of ours or of the server.

        Raises what the block raised in our words, and `StorageUnavailable` if none can be had.
        """
        try:
            # One bound for its turn, the connection and the block: behind dead connections others must not wait longer.
            async with asyncio.timeout(self._options.patience), self._turns:
                connection = await self._take()
                sound = False
                try:
                    yield connection
                    sound = True
                except Exception as error:
                    sound = is_refusal(error)
                    raise
                finally:
                    self._give_back(connection, sound=sound)
        except TimeoutError as error:
            raise StorageUnavailable(f"PostgreSQL did not answer within {self._options.patience:g} s") from error
        except Exception as error:
            told = translate(error)
            if told is error:
                raise
            raise told from error

    async def _take(self) -> Raw:
        if self._closed:
            raise StorageUnavailable("the storage is closed")
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                self._out.add(connection)
                return connection
        if tick_micros() < self._not_before:
            raise StorageUnavailable(self._reason)
        try:
            connection = await connect(self._options)
        except StorageUnavailable as error:
            self._reason = str(error)
            pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE) * (0.5 + self._chance() / 2)
            self._failures = min(self._failures + 1, 10)
            self._not_before = tick_micros() + int(pause * SECOND)
            raise
        self._failures = 0
        self._out.add(connection)
        return connection

    def _give_back(self, connection: Raw, *, sound: bool) -> None:
        self._out.discard(connection)
        if sound and not self._closed and not connection.is_closed() and not connection.is_in_transaction():
            self._idle.append(connection)
        else:
            drop(connection)

    async def close(self) -> None:
        """Close all; on its own loop."""
        await end(self._keeper)
        await self._close()  # if it was cancelled before it had begun

    async def _close(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(Exception):
                await connection.close(timeout=1.0)
        self.abandon()
        for _ in range(2):  # a transport is closed by the turns of the loop after its last word
            await asyncio.sleep(0)

    def retire(self) -> None:
        """Close all soon."""
        self._keeper.cancel()

    def abandon(self) -> None:
        """Let go of all connections at once."""
        self._closed = True
        for connection in [*self._idle, *self._out]:
            drop(connection)
        self._idle.clear()


def drop(connection: Any) -> None:
    """End a connection without a word to the server."""
    with suppress(Exception):
        connection.terminate()
