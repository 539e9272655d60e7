"""Declaring: functions, hooks and middleware of an engine, written above what they are about."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from angelica.runtime.functions import AsyncFunction, Function
from angelica.runtime.hooks import Hook, Hooks, Middleware
from angelica.runtime.hub import Hub
from angelica.runtime.registry import Decorator, FunctionRegistry

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")


class Declaring:
    """The part of an `Engine` that code speaks to before anything runs."""

    functions: FunctionRegistry
    hooks: Hooks
    _hub: Hub

    @overload
    def task(self, handler: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...
    @overload
    def task(self, handler: Callable[P, R], /) -> Function[P, R]: ...
    @overload
    def task(self, **given: Any) -> Decorator: ...
    def task(self, *handlers: Callable[..., Any], **given: Any) -> Any:
        """Register a function: `@engine.task`, or `@engine.task(retries=5, timeout="30s", …)`.

        Takes what `FunctionRegistry.declare` takes; raises `InvalidValue` for a bad value or a name that is taken.
        """
        return self.functions.declare(handlers[0], **given) if handlers else self.functions.decorator(**given)

    def hook(self, name: str, *, queue: str | None = None, function: str | None = None) -> Callable[[Hook], Hook]:
        """Return a decorator that registers a hook, for all tasks, those of a queue or those of a function.

        `name` is before_submit, after_submit, before_run, after_run, on_success, on_failure, on_retry or on_cancel.
        """
        return self.hooks.on(name, queue=queue, function=function)

    def middleware(self, wrap: Middleware) -> Middleware:
        """Register middleware: `wrap(function, handler)` returns what is called in the handler's place."""
        self.hooks.middleware.append(wrap)
        return wrap

    def on(self, kind: type[E], receiver: Callable[[E], object]) -> None:
        """Call `receiver` with every event of a kind (`angelica.domain.events`); it must not block."""
        self._hub.subscribe(kind, receiver)
