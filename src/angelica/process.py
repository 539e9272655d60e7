"""A worker process: what an engine does when the whole process is there for its worker."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

SWITCH_INTERVAL: Final = 0.0005
"""Seconds between offers of the GIL: the storage's writer thread must not wait 5 ms (CPython's default) for the event
loop's thread at each of its statements. An embedded engine leaves the interval as the host has it."""


GC_THRESHOLD: Final = 100_000
"""Allocations between collections: at CPython's 700, tasks in flight are looked through again and again."""


class Runs(Protocol):
    """An engine. `dismissed` is called when an operator asks for the stop of its worker."""

    dismissed: Callable[[], object] | None

    async def start(self, worker: bool | None = None) -> None: ...  # noqa: FBT001 - as the engine has it
    async def stop(self, *, hasten: asyncio.Event | None = None) -> None: ...


def tune() -> None:
    """Set the interpreter up for a process that is there for an engine alone."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()  # what the imports made stays for good
    gc.set_threshold(GC_THRESHOLD, 20, 50)


def hear(numbers: Iterable[int], heard: Callable[[], None]) -> None:
    """Call `heard` on the running loop at each of these signals; once the loop has closed they do nothing.

    `loop.add_signal_handler` puts the default back when the loop closes: a signal that comes to hasten the end would
    then kill a process that has ended in order and is only leaving its interpreter. For children of the supervisor:
    it kills what does not leave, and says in words what two signals say that came as one.
    """
    loop = asyncio.get_running_loop()
    awake, wake = os.pipe()  # left open: signals may come until the process is gone
    for end in (awake, wake):
        os.set_blocking(end, False)
    loop.add_reader(awake, os.read, awake, 4096)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)  # or a loop that is just going to sleep would oversleep

    def take(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(heard)

    for number in numbers:
        signal.signal(number, take)


async def run_worker(
    engine: Runs,
    stop: asyncio.Event,
    hasten: asyncio.Event,
    ready: Callable[[], None],
    leaving: Callable[[], None] = lambda: None,
) -> None:
    """Run a worker until `stop` is set, then leave within the grace time; `hasten` cuts it short.

    `leaving` is called when it is an operator who wants the stop.
    """
    tune()

    def dismissed() -> None:
        leaving()
        stop.set()

    engine.dismissed = dismissed
    await engine.start(worker=True)
    ready()
    await stop.wait()
    await engine.stop(hasten=hasten)


async def run_until_signal(engine: Runs) -> None:
    """Run a worker until SIGINT or SIGTERM; a second signal hastens the end."""
    stop, hasten = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = 0

    def heard() -> None:
        nonlocal signals
        signals += 1
        (hasten if signals > 1 else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    await run_worker(engine, stop, hasten, ready=lambda: None)
