"""The portal: one thread with an event loop of its own, through which synchronous code calls coroutines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from angelica.errors import AngelicaError

T = TypeVar("T")


class Portal:
    """Starts its thread at the first call; `close` ends it. Any thread may call, also one that runs a loop.

    Only its own thread may not: the loop that must do the work would be waiting for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine to its end and return its result; blocks the calling thread.

        Raises what the coroutine raises, `TimeoutError` after `timeout` seconds, or `AngelicaError` in a coroutine that
        this loop is running.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise AngelicaError(
                "this would block the event loop that must do it: await the method with an a in front "
                "of its name (aenqueue, aresult, await_ …)"
            )
        loop = self._started()
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():  # a thread does not come along into a forked child
                self._pid = os.getpid()
                ready = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(ready,), name="angelica-portal", daemon=True)
                self._thread.start()
                ready.wait()
            assert self._loop is not None
            return self._loop

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:  # at its end it cancels what is left, and ends the loop's own threads
            self._loop = runner.get_loop()
            ready.set()
            self._loop.run_forever()

    def close(self) -> None:
        """End the thread; a later call starts a new one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None and thread is not threading.current_thread():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
