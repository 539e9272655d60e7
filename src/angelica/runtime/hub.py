"""The hub: carries events from whoever made a storage call to whoever subscribed, and on to the hooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from angelica.domain.events import Event, TasksCancelled, TasksEnded, TasksSubmitted
from angelica.domain.lifecycle import Completion
from angelica.domain.task import State, Task
from angelica.runtime.hooks import HookName, Hooks

log: Final = logging.getLogger("angelica.events")

E = TypeVar("E")


class Hub:
    """Emits each event once to each subscriber; a subscriber that fails is logged and changes nothing.

    Hooks of ended tasks run as asyncio tasks of the loop that emitted, at most once.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._subscribers: list[tuple[type[object], Callable[..., object]]] = []
        self._running: set[asyncio.Task[None]] = set()

    def subscribe(self, kind: type[E], receiver: Callable[[E], object]) -> None:
        """Call `receiver` with every event of a kind, on the thread that emits; it must not block."""
        self._subscribers.append((kind, receiver))

    def emit(self, event: Event) -> None:
        """Hand an event on."""
        if type(event) is TasksSubmitted and not self._subscribers:
            return  # each submit comes by here
        for kind, receiver in self._subscribers:
            if isinstance(event, kind):
                try:
                    receiver(event)
                except Exception:
                    log.exception("the receiver %r of %s failed", receiver, kind.__name__)
        match event:
            case TasksEnded():
                self._ended(event)
            case TasksCancelled():
                log.info("%d task(s) ended before they began: %s", len(event.task_ids), event.reason)

    async def settle(self) -> None:
        """Wait for the hooks that are still running."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, event: TasksEnded) -> None:
        """Warn of each task that failed for good, and run the hooks that concern the ends."""
        hooks = self._hooks
        watched = hooks.concern_ends
        chosen: list[tuple[HookName, Task, Completion]] = []
        for task, end in event.ends:
            if end.state is State.SUCCEEDED:
                if not watched:
                    continue
                name: HookName = "on_success"
            elif end.state is State.FAILED:
                name = "on_failure"
                _alert(task, end)
            elif end.state is State.CANCELLED:
                name = "on_cancel"
            elif end.outcome in ("released", "snoozed"):
                continue
            else:
                name = "on_retry"
            if hooks.wants(name):
                chosen.append((name, task, end))
        if chosen:
            self._start(self._run(chosen))

    async def _run(self, chosen: list[tuple[HookName, Task, Completion]]) -> None:
        for name, task, end in chosen:
            await self._hooks.run(name, task.function, task.queue, task, end)

    def _start(self, hooks: Coroutine[Any, Any, None]) -> None:
        running = asyncio.get_running_loop().create_task(hooks)
        self._running.add(running)
        running.add_done_callback(self._running.discard)


def _alert(task: Task, end: Completion) -> None:
    """The last attempt has failed: say so where operators look."""
    error = end.error
    why = "" if error is None else f"{error.type or error.reason}: {error.message}"
    log.error(
        "task %s (%s) failed after %d attempt(s): %s",
        task.id,
        task.function,
        end.attempt,
        why[:500],
        extra={"task_id": task.id, "attempt": end.attempt, "trace_id": task.spec.trace_id, "queue": task.queue},
    )
