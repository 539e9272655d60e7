"""Read connections on threads of their own: a reader sees the last commit and never holds up the writer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

import apsw

from angelica.clock import SECOND, tick_micros
from angelica.errors import StorageUnavailable
from angelica.storage.sqlite.calls import Answer, Call, deliver
from angelica.storage.sqlite.connect import BROKEN, translate
from angelica.storage.sqlite.transaction import SqliteStatements
from angelica.storage.verbs.transaction import finished

ReadCall = Call[SqliteStatements]

_STEPS: Final = 20_000


class Readers:
    """Up to `threads` reads at a time, each at most `bound` microseconds long; threads start when first needed."""

    def __init__(
        self,
        open_connection: Callable[[], apsw.Connection],
        verbs: Mapping[str, str],
        *,
        threads: int = 2,
        bound: int = 10 * SECOND,
    ) -> None:
        self._open_connection = open_connection
        self._verbs = verbs
        self._most = threads
        self._bound = bound
        self._calls: SimpleQueue[tuple[ReadCall, bool] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    async def read(self, work: Callable[[SqliteStatements], Coroutine[Any, Any, Any]], *, bounded: bool = True) -> Any:
        """Run `work` over one snapshot per statement and return what it returns."""
        call: ReadCall = Call(work)
        with self._lock:
            if self._closed:
                raise StorageUnavailable("the storage is closed")
            if self._idle == 0 and len(self._threads) < self._most:
                self._idle += 1
                name = f"angelica-sqlite-reader-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._run, name=name, daemon=True))
                self._threads[-1].start()
            self._idle -= 1
        self._calls.put((call, bounded))
        return await call.future

    def close(self) -> None:
        """Finish the reads that were asked for; blocks."""
        with self._lock:
            self._closed = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        while (item := self._calls.get()) is not None:
            call, bounded = item
            try:
                if connection is None:
                    connection = self._open_connection()
                answer: Answer = (self._read(connection, call, bounded=bounded), None)
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                answer = (None, translate(error))
                if connection is not None and isinstance(error, BROKEN):
                    with suppress(apsw.Error):
                        connection.close(force=True)
                    connection = None
            with self._lock:
                self._idle += 1
            deliver([(call, answer)])
        if connection is not None:
            connection.close()

    def _read(self, connection: apsw.Connection, call: ReadCall, *, bounded: bool) -> Any:
        if call.work is None:
            return None
        end = tick_micros() + self._bound
        connection.set_progress_handler((lambda: tick_micros() > end) if bounded else None, _STEPS)
        return finished(call.work(SqliteStatements(connection, self._verbs)))
