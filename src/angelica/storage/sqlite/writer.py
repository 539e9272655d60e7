"""The one writer of this process: a thread that puts all calls that gathered into one transaction and one commit."""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import Future
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

import apsw

from angelica.clock import tick_micros
from angelica.domain.task import NewTask
from angelica.errors import Refused, StorageCorrupt, StorageUnavailable
from angelica.storage.protocol import Topic
from angelica.storage.sqlite.calls import Answer, Call, Submit, Turn, deliver
from angelica.storage.sqlite.connect import BROKEN, translate
from angelica.storage.sqlite.lock import WriterLock
from angelica.storage.sqlite.transaction import SqliteTransaction
from angelica.storage.verbs.submit import all_created, submit
from angelica.storage.verbs.transaction import Clash, finished

_MOST_CALLS: Final = 4_000
_MOST_TASKS: Final = 10_000
_TURN: Final = 1_000
_WAITS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)

WriteCall = Call[SqliteTransaction]
Topics = Collection[Topic]


class Writer:
    """Takes whatever has gathered, never waits for more: the disk's own time is what gathers.

    In one gathering all plain submits become one insert. No item is looked at twice unless something clashes: then
    the transaction is undone and done again with a savepoint for each call, so that one caller's failure does not
    undo the others. `on_commit` is called with the lock still held, `on_ring` after it. `refusal` is asked inside of
    each transaction whether the store may be written at all.
    """

    def __init__(
        self,
        open_connection: Callable[[], apsw.Connection],
        lock_fd: int,
        verbs: Mapping[str, str],
        *,
        patience: int,
        on_commit: Callable[[Topics], None],
        on_ring: Callable[[Topics], None],
        refusal: Callable[[apsw.Connection], Exception | None] = lambda _: None,
    ) -> None:
        self._fence = refusal
        self._open_connection = open_connection
        self._verbs = verbs
        self._patience = patience
        self._on_commit = on_commit
        self._on_ring = on_ring
        self._connection: apsw.Connection | None = open_connection()
        self._lock = WriterLock(lock_fd, patience=patience, on_stuck=self._abandon)
        self._calls: SimpleQueue[Sequence[WriteCall] | None] = SimpleQueue()
        self._local = threading.local()
        self._guard = threading.Lock()
        self._waiting: Sequence[WriteCall] = ()
        self._pid = os.getpid()
        self._refusal: Exception | None = None
        self._pause = threading.Event()
        self._changes = 0
        self.committed_at = 0
        self._thread = threading.Thread(target=self._run, name="angelica-sqlite-writer", daemon=True)
        self._thread.start()

    async def call(self, work: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]) -> Any:
        """Run `work` in a transaction and return what it returns, once that is on disk."""
        self._check_open()
        call: WriteCall = Call(work)
        self._put(call)
        return await call.future

    def submit(self, tasks: Sequence[NewTask], wall: int) -> Future[Any]:
        """Store tasks together with whatever else the running event loop submits in its turn."""
        self._check_open()
        loop = asyncio.get_running_loop()
        turn: Turn | None = getattr(self._local, "turn", None)
        if turn is None or turn.loop is not loop:
            self._local.turn = turn = Turn(loop)
            loop.call_soon(self._send, turn)
        future = turn.add(tasks, wall)
        if turn.tasks >= _TURN:
            self._local.turn = None
            self._put(turn)
            turn.calls = []
        return future

    def _send(self, turn: Turn) -> None:
        """The turn is over: hand its submits to the thread."""
        if getattr(self._local, "turn", None) is turn:
            self._local.turn = None
        if turn.calls:
            self._put(turn)

    def _put(self, item: WriteCall | Turn) -> None:
        if isinstance(item, Call):
            self._calls.put([item])
            return
        calls = item.pack()
        if self._refusal is not None:
            deliver([(call, (None, self._refusal)) for call in calls])
        elif calls:
            self._calls.put(calls)

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)  # or each raise would lengthen the last one's
        if os.getpid() != self._pid:
            raise StorageUnavailable("the storage was opened before a fork: open it in the process that uses it")

    def close(self) -> None:
        """Finish what was accepted, then let the file go; blocks, at most for the patience."""
        self._refusal = StorageUnavailable("the storage is closed")
        self._calls.put(None)
        self._thread.join(self._patience / 1_000_000 + 5)
        if not self._thread.is_alive():
            self._lock.close()

    # --- the thread ---

    def _run(self) -> None:
        while True:
            first = self._calls.get()
            if first is None:
                break
            calls, last = self._gather(first)
            self._serve(calls)
            if last:
                break
        self._drop_connection()

    def _gather(self, first: Sequence[WriteCall]) -> tuple[list[WriteCall], bool]:
        calls, tasks = list(first), _weight(first)
        get = self._calls.get_nowait
        with suppress(Empty):
            while len(calls) < _MOST_CALLS and tasks < _MOST_TASKS:
                more = get()
                if more is None:
                    return calls, True
                calls += more
                tasks += _weight(more)
        return calls, False

    def _serve(self, calls: Sequence[WriteCall]) -> None:
        self._waiting = calls
        self._lock.acquire()
        try:
            with self._guard:
                self._waiting = ()
                live = [call for call in calls if not call.done]
                for call in live:
                    call.done = True
            answers, topics = self._write(live) if live else ([], ())
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers wait for an answer
            answers, topics = [(None, translate(error))] * len(calls), ()
            live = list(calls)
        finally:
            self._lock.release()
        deliver(zip(live, answers, strict=True))
        if topics:
            self._on_ring(topics)

    def _abandon(self) -> None:
        """Answer the calls that wait for another process in vain; what is written later is written without them."""
        seconds = self._patience // 1_000_000
        error = StorageUnavailable(f"another process has held the file for {seconds} s; nothing was written")
        with self._guard:
            calls = [call for call in self._waiting if not call.done]
            with suppress(Empty):
                while (more := self._calls.get_nowait()) is not None:
                    calls += more
                self._calls.put(None)
            for call in calls:
                call.done = True
        deliver((call, (None, error)) for call in calls)

    def _write(self, calls: Sequence[WriteCall]) -> tuple[list[Answer], Topics]:
        try:
            return self._transact(calls, careful=False)
        except BROKEN as error:
            return self._broke(calls, error)
        except apsw.BusyError as error:
            return [(None, translate(error))] * len(calls), ()
        except Exception:  # noqa: BLE001 - one call's failure is found, and kept to it, by going through them carefully
            self._undo()
        try:
            return self._transact(calls, careful=True)
        except BROKEN as error:
            return self._broke(calls, error)
        except Exception as error:  # noqa: BLE001
            self._undo()
            if len(calls) == 1:
                return [(None, translate(error))], ()
        return self._write_alone(calls)

    def _write_alone(self, calls: Iterable[WriteCall]) -> tuple[list[Answer], Topics]:
        """Each call in its own transaction: where there is little room left, what is small can still be written."""
        answers: list[Answer] = []
        topics: set[Topic] = set()
        for call in calls:
            try:
                some, rung = self._transact([call], careful=True)
            except BROKEN as error:
                some, rung = self._broke([call], error)
            except Exception as error:  # noqa: BLE001
                self._undo()
                some, rung = [(None, translate(error))], ()
            answers += some
            topics.update(rung)
        return answers, topics

    def _transact(self, calls: Sequence[WriteCall], *, careful: bool) -> tuple[list[Answer], Topics]:
        connection = self._begin()
        refused = self._fence(connection)
        if refused is not None:
            connection.execute("rollback")
            return [(None, refused)] * len(calls), ()
        transaction = SqliteTransaction(connection, self._verbs, careful=careful)
        answers = _carefully(transaction, calls) if careful else _together(transaction, calls)
        transaction.finish()
        changed = connection.total_changes()
        connection.execute("commit")
        if changed != self._changes or transaction.topics:
            self._changes = changed
            self.committed_at = tick_micros()
            self._on_commit(transaction.topics)
        return answers, transaction.topics

    def _begin(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._open_connection()
        deadline = tick_micros() + self._patience
        tries = 0
        while True:
            try:
                self._connection.execute("begin immediate")
            except apsw.BusyError:
                # Not one of us: we hold the lock that all of us take first. A backup tool, a shell, a stopped checker.
                if tick_micros() > deadline:
                    raise
                self._pause.wait(_WAITS[min(tries, len(_WAITS) - 1)])
                tries += 1
            else:
                return self._connection

    def _undo(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("rollback")

    def _broke(self, calls: Sequence[WriteCall], error: apsw.Error) -> tuple[list[Answer], Topics]:
        """The disk or the file failed: nothing is acknowledged, nothing is tried again on this connection.

        A failed sync cannot be repaired by another one: what the kernel dropped it has forgotten. The next call
        opens the file anew, and reads from the log what really is in it.
        """
        said = translate(error)
        self._changes = 0
        if isinstance(said, StorageCorrupt):
            self._refusal = said
        self._drop_connection()
        return [(None, said)] * len(calls), ()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(apsw.Error):
                self._connection.close(force=True)
            self._connection = None


def _weight(calls: Iterable[WriteCall]) -> int:
    return sum(len(call.tasks) for call in calls if isinstance(call, Submit))


def _together(transaction: SqliteTransaction, calls: Sequence[WriteCall]) -> list[Answer]:
    """All calls in one go; a refusal of ours is raised before its call has written anything."""
    parcels = {id(call.parcel): call.parcel for call in calls if isinstance(call, Submit) and call.parcel is not None}
    if parcels:
        transaction.store(list(parcels.values()))
    answers: list[Answer] = []
    for call in calls:
        if isinstance(call, Submit):
            answers.append((all_created(call.tasks), None))
            continue
        assert call.work is not None
        try:
            answers.append((finished(call.work(transaction)), None))
        except Refused as refusal:
            answers.append((None, refusal))
    return answers


def _carefully(transaction: SqliteTransaction, calls: Sequence[WriteCall]) -> list[Answer]:
    """Each call behind a savepoint of its own."""
    answers: list[Answer] = []
    for call in calls:
        mark = transaction.savepoint()
        try:
            value = _one(transaction, call)
            transaction.keep()
            answers.append((value, None))
        except (*BROKEN, apsw.FullError, Clash):
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to its caller
            transaction.undo(mark)
            answers.append((None, translate(error)))
    return answers


def _one(transaction: SqliteTransaction, call: WriteCall) -> Any:
    if isinstance(call, Submit):
        return finished(submit(transaction, call.tasks, wall=call.wall))
    return None if call.work is None else finished(call.work(transaction))
