"""Hooks and middleware: the user's code around submits, attempts and ends, which can never break a task."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from angelica.current import CURRENT
from angelica.errors import SubmitRefused

HookName = Literal[
    "before_submit", "after_submit", "before_run", "after_run", "on_success", "on_failure", "on_retry", "on_cancel"
]
HOOKS: Final[tuple[HookName, ...]] = get_args(HookName)

Hook = Callable[..., Any]
Middleware = Callable[[Any, Callable[..., Any]], Callable[..., Any]]
"""Takes a function and its handler once, and returns what is called in the handler's place."""

_log: Final = logging.getLogger("angelica.hooks")


@dataclass(slots=True)
class Submission:
    """What a `before_submit` hook sees; it may change `headers` and `labels`, or raise `SubmitRefused`.

    `args` and `kwargs` are as the caller gave them.
    """

    function: str
    queue: str
    args: Sequence[Any]
    kwargs: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Registered:
    hook: Hook
    queue: str | None
    function: str | None

    def concerns(self, function: str, queue: str) -> bool:
        return (self.function is None or self.function == function) and (self.queue is None or self.queue == queue)


class Hooks:
    """All hooks and middleware of one engine, in order of registration.

    A hook may be a plain or an `async def` function. `before_submit` gets a `Submission`, all others the task
    (`NewTask` or `Task`) and, where there is one, what became of it.
    """

    def __init__(self) -> None:
        self._hooks: dict[str, list[_Registered]] = {name: [] for name in HOOKS}
        self.middleware: list[Middleware] = []
        self.preload: list[Callable[[], Any]] = []
        self.concern_submits = False
        """Whether any hook looks at submits; each submit asks."""

    def on(self, name: str, *, queue: str | None = None, function: str | None = None) -> Callable[[Hook], Hook]:
        """Return a decorator that registers a hook: for all tasks, those of a queue, or those of a function."""
        if name not in HOOKS:
            raise ValueError(f"there is no hook {name!r}; there are {', '.join(HOOKS)}")

        def register(hook: Hook) -> Hook:
            self._hooks[name].append(_Registered(hook, queue, function))
            self.concern_submits = self.concern_submits or name in ("before_submit", "after_submit")
            return hook

        return register

    @property
    def concern_ends(self) -> bool:
        """Whether any hook looks at how attempts end."""
        hooks = self._hooks
        return bool(hooks["on_success"] or hooks["on_failure"] or hooks["on_retry"] or hooks["on_cancel"])

    def wants(self, name: HookName) -> bool:
        """Whether any hook of that name is registered; the hot path asks this and nothing else."""
        return bool(self._hooks[name])

    async def refuse_or_change(self, submission: Submission) -> Submission:
        """Run the `before_submit` hooks; raises `SubmitRefused`. One that fails otherwise is logged and passed over."""
        for each in self._hooks["before_submit"]:
            if not each.concerns(submission.function, submission.queue):
                continue
            try:
                answer = each.hook(submission)
                if inspect.isawaitable(answer):
                    await answer
            except SubmitRefused:
                raise
            except Exception:  # noqa: BLE001 - the user's code
                _log.exception("the before_submit hook %s failed", _name(each.hook))
        return submission

    async def run(self, name: HookName, function: str, queue: str, *args: Any) -> None:
        """Run the hooks of that name; one that fails is logged and changes nothing."""
        for each in self._hooks[name]:
            if not each.concerns(function, queue):
                continue
            try:
                answer = each.hook(*args)
                if inspect.isawaitable(answer):
                    await answer
            except Exception:  # noqa: BLE001 - the user's code
                _log.exception("the %s hook %s failed", name, _name(each.hook))

    def call_of(
        self, name: str, handler: Callable[..., Any], *, is_async: bool, function: Any = None
    ) -> Callable[..., Any]:
        """Return what a worker calls in the handler's place: middleware around it, run hooks around both.

        Without hooks and middleware that is the handler itself. The first middleware is the outermost; it is called
        once for each function, not for each task. Hooks registered later are not seen.
        """
        for middleware in reversed(self.middleware):
            handler = middleware(function, handler)
            if not callable(handler):
                raise TypeError(f"the middleware {_name(middleware)} must return a callable")
        if not any(each.function in (None, name) for hook in _RUN for each in self._hooks[hook]):
            return handler
        return self._hooked_async(name, handler) if is_async else self._hooked(name, handler)

    def _hooked_async(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            running = CURRENT.get()
            queue = "" if running is None else running.queue
            task = getattr(running, "task", None)
            await self.run("before_run", name, queue, task)
            try:
                return await handler(*args, **kwargs)
            finally:
                await self.run("after_run", name, queue, task)

        return call

    def _hooked(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        def run(hook: HookName, queue: str, task: Any) -> None:
            if self.wants(hook):
                asyncio.run(self.run(hook, name, queue, task))  # an `async def` hook may stand around a plain function

        def call(*args: Any, **kwargs: Any) -> Any:
            running = CURRENT.get()
            queue = "" if running is None else running.queue
            task = getattr(running, "task", None)
            run("before_run", queue, task)
            try:
                return handler(*args, **kwargs)
            finally:
                run("after_run", queue, task)

        return call


_RUN: Final[tuple[HookName, ...]] = ("before_run", "after_run")


def _name(hook: Any) -> str:
    return getattr(hook, "__qualname__", repr(hook))
