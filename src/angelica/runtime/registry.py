"""The registry: declares functions and knows them by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar, overload

from angelica.domain.retry import Profile
from angelica.domain.task import Executor
from angelica.errors import InvalidValue
from angelica.runtime import fields
from angelica.runtime.defaults import UNSERVED_DEFAULTS, Defaults, read_concurrency, read_defaults, read_trip_on
from angelica.runtime.functions import AsyncFunction, Function, Submitter, is_coroutine_function
from angelica.runtime.hooks import Hooks

P = ParamSpec("P")
R = TypeVar("R")

EXECUTOR_WORDS: Final = ("auto", "async", "thread", "process")
_ARGUMENTS: Final = frozenset({"name", "executor", "concurrency", "hooks", "trip_on"})
_DEFAULTED: Final = frozenset(Defaults.__dataclass_fields__) - {"policy"} | frozenset(
    {"timeout", "retries", "max_crashes", "backoff", "retry_on", "result_ttl", "profile"}
)
_PACKAGE: Final = "angelica"


class RegistrySettings(Protocol):
    """The settings that a declaration reads. Sizes are bytes, durations microseconds."""

    @property
    def profiles(self) -> Mapping[str, Profile]: ...
    @property
    def retention(self) -> int: ...
    @property
    def payload_limit(self) -> int: ...
    @property
    def result_limit(self) -> int: ...


class Decorator(Protocol):
    """What `@engine.task(…)` with arguments gives: turns a handler into a function."""

    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Function[P, R]: ...


class FunctionRegistry:
    """All functions of one engine, by name."""

    def __init__(self, settings: RegistrySettings, hooks: Hooks, submitter: Submitter | None = None) -> None:
        self._settings = settings
        self.hooks = hooks
        self._submitter = submitter
        self._functions: dict[str, Function[..., Any]] = {}

    def declare(self, handler: Callable[..., Any], **given: Any) -> Function[..., Any]:
        """Register a handler and return its function.

        `given` is what `@engine.task(…)` takes: name, queue, priority, timeout, retries, max_crashes, backoff (also
        a callable of the failures so far that returns seconds), retry_on, version, labels, requires, resources (what
        each task needs of a machine, `{"cpu": 2, "memory": "4GB"}`), unique, expires, uses (the name of a downstream
        with a circuit breaker, or several), trip_on (exception types that count as its failures), latency (an attempt
        that takes longer counts as slow), concurrency, max_running, rate, limits, executor,
        result_ttl, profile, durable, overflow, id_strategy, hooks ({hook name: callable}).
        Raises `InvalidValue` for a bad value or a name that is taken, `TypeError` for a handler that cannot be one.
        """
        if isinstance(handler, Function):
            raise TypeError(f"{handler.name} is declared already")
        if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
            raise TypeError(f"{_described(handler)} is a generator; a task must return one value")
        name = given.get("name")
        name = default_name(handler) if name is None else _checked_name(name)
        if name in self._functions:
            where = _place(self._functions[name].handler)
            raise InvalidValue(
                "/name", f"the function {name!r} is declared twice; the first is {where}", rule="duplicate"
            )
        _check_known(given, name)
        function = self._make(handler, name, given)
        function.trip_on = read_trip_on(given.get("trip_on"), name)
        self._functions[name] = function
        for hook_name, hook in (given.get("hooks") or {}).items():
            self.hooks.on(hook_name, function=name)(hook)
        return function

    def decorator(self, **given: Any) -> Decorator:
        """Return a decorator that declares with these arguments."""

        def declare(handler: Callable[..., Any], /) -> Any:
            return self.declare(handler, **given)

        return declare

    def get(self, name: str) -> Function[..., Any] | None:
        """Return the function of that name, None if there is none here."""
        return self._functions.get(name)

    def names(self) -> list[str]:
        """Return all names, in order."""
        return sorted(self._functions)

    def __iter__(self) -> Iterator[Function[..., Any]]:
        return iter(list(self._functions.values()))

    def __len__(self) -> int:
        return len(self._functions)

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def call_of(self, function: Function[..., Any]) -> Callable[..., Any]:
        """Return the function's handler inside the middleware and the run hooks."""
        return self.hooks.call_of(function.name, function.handler, is_async=function.is_async, function=function)

    def _make(self, handler: Callable[..., Any], name: str, given: Mapping[str, Any]) -> Function[..., Any]:
        backoff = given.get("backoff")
        settings = self._settings
        make: type[Function[..., Any]] = AsyncFunction if is_coroutine_function(handler) else Function
        defaults = read_defaults(
            name,
            _executor(handler, given.get("executor", "auto"), name),
            given,
            profiles=settings.profiles,
            retention=settings.retention,
        )
        return make(
            handler,
            defaults,
            submitter=self._submitter,
            custom_backoff=backoff if callable(backoff) else None,
            concurrency=read_concurrency(given.get("concurrency"), name),
            names=_scope() if "<locals>" in getattr(handler, "__qualname__", "") else {},
            payload_limit=settings.payload_limit,
            result_limit=settings.result_limit,
        )


def default_name(handler: Any) -> str:
    """Return `module.qualname` without `<locals>`; a script's functions are named after its file."""
    qualname = getattr(handler, "__qualname__", None)
    module = getattr(handler, "__module__", None)
    if qualname is None or module is None or "<lambda>" in qualname:
        raise TypeError(f"{handler!r} has no name of its own: give one with name=")
    if module == "__main__":
        # The worker imports the file under its own name: a task of `__main__` would find nobody to run it.
        main = sys.modules.get("__main__")
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    # `python -m package` runs package.__main__; another process imports it by that name.
    return f"{module.removesuffix('.__main__')}.{qualname.replace('.<locals>', '')}"


def _executor(handler: Any, word: Any, name: str) -> Executor:
    if word not in EXECUTOR_WORDS:
        raise InvalidValue("/executor", f"must be one of {', '.join(EXECUTOR_WORDS)}; not {word!r} ({name})")
    if word == "process":
        return "process"
    is_async = is_coroutine_function(handler)
    if word == "auto":
        return "async" if is_async else "thread"
    if (word == "async") != is_async:
        problem = "the async executor runs `async def` functions" if word == "async" else f"{word} runs plain functions"
        raise InvalidValue("/executor", f"{problem}, and {name} is {'async' if is_async else 'not'}")
    return "async" if is_async else "thread"


def _checked_name(name: Any) -> str:
    try:
        return fields.name(name)
    except ValueError as error:
        raise InvalidValue("/name", str(error)) from None


def _check_known(given: Mapping[str, Any], name: str) -> None:
    known = _ARGUMENTS | _DEFAULTED
    for key in given:
        if key not in known and key not in UNSERVED_DEFAULTS:
            near = fields.near(key, known)
            hint = f"did you mean {near}?" if near else ""
            raise InvalidValue(f"/{key}", f"@task takes no such argument (in the declaration of {name})", hint=hint)


def _scope() -> dict[str, Any]:
    """Return the names of the scope that declares: annotations of a nested function may stand only there."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)


def _place(handler: Any) -> str:
    code = getattr(handler, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(handler)


def _described(handler: Any) -> str:
    return getattr(handler, "__qualname__", repr(handler))
