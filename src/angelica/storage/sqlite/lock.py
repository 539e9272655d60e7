"""The lock that puts the writers of all processes in a fair line, and the watch over a holder that stands still."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from typing import Final

from angelica.clock import tick_micros

_GLANCE: Final = 0.25
_RESTFUL: Final = 8


class WriterLock:
    """An advisory lock on a side file: the kernel queues the waiters, and frees it when a holder dies.

    SQLite's own busy handler starves: a process that submits beside one that drains waited up to two seconds. A
    holder that is stopped (SIGSTOP) cannot be waited for in a bounded way by this thread, so a watching thread calls
    `on_stuck` each time that `patience` microseconds have passed in vain.
    """

    def __init__(self, fd: int, *, patience: int, on_stuck: Callable[[], None]) -> None:
        self._fd = fd
        self._patience = patience
        self._on_stuck = on_stuck
        self._since: int | None = None
        self._closed = False
        self._contended = threading.Event()
        self._rest = threading.Event()
        self._watcher: threading.Thread | None = None

    def acquire(self) -> None:
        """Wait for the lock as long as it takes."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._since = tick_micros()
            self._watch()
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._since = None

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self._closed = True
        self._contended.set()
        self._rest.set()
        if self._watcher is not None:
            self._watcher.join()
        os.close(self._fd)

    def _watch(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._look, name="angelica-sqlite-lock", daemon=True)
            self._watcher.start()
        if not self._contended.is_set():
            self._contended.set()

    def _look(self) -> None:
        while not self._closed:
            self._contended.wait()
            quiet = 0
            while quiet < _RESTFUL and not self._closed:
                self._rest.wait(_GLANCE)
                since = self._since
                quiet = quiet + 1 if since is None else 0
                if since is not None and tick_micros() - since > self._patience:
                    self._on_stuck()
            if not self._closed:
                self._contended.clear()
                # A waiter that came between the last look and the clearing did not see that it must wake us.
                if self._since is not None:
                    self._contended.set()
