"""Functions: what `@engine.task` makes of a handler, and the registry that knows them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import update_wrapper
from typing import Any, Final, Generic, ParamSpec, Protocol, Self, TypeVar

from angelica import strict_json
from angelica.domain.task import Executor, Policy
from angelica.errors import InvalidArguments, NotSupported
from angelica.runtime.binding import Arguments, Binding, check_size, fill_template, make_binding, resolve_hints
from angelica.runtime.defaults import CustomBackoff, Defaults, defaults_to_text
from angelica.runtime.drafts import read_options
from angelica.runtime.handle import TaskHandle
from angelica.runtime.options import NO_OPTIONS, Options
from angelica.runtime.own import Own, read_own
from angelica.runtime.payload import PAYLOAD_LIMIT, RESULT_LIMIT, encode_result
from angelica.runtime.schedule_drafts import task_form
from angelica.runtime.schedule_handle import ScheduleHandle
from angelica.runtime.schema import arguments_schema
from angelica.storage.protocol import FunctionRow

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Call = tuple[Sequence[Any], Mapping[str, Any]]

_SPELLED: Final = {"id": "schedule_id", "in_": "in"}
"""Fields of a schedule whose name Python has taken, or that read better."""

_NO_NAMES: Final[Mapping[str, Any]] = {}


class Submitter(Protocol):
    """What a function needs of an engine to be enqueued."""

    async def submit_call(
        self, function: Function[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
    ) -> TaskHandle[Any]:
        """Submit one call; raises `Refused` and its kin."""
        ...

    async def submit_calls(
        self, function: Function[Any, Any], calls: Sequence[Call], options: Options
    ) -> list[TaskHandle[Any]]:
        """Submit many calls in one transaction, all or none."""
        ...

    def submit_inside(self, calls: Sequence[CallOf], own: Own) -> list[TaskHandle[Any]]:
        """Submit calls in the caller's transaction, all or none, in the caller's thread."""
        ...

    async def asubmit_inside(self, calls: Sequence[CallOf], own: Own) -> list[TaskHandle[Any]]:
        """Submit calls in the caller's transaction, all or none, in the event loop of an async connection."""
        ...

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from synchronous code."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the store is open in this process."""
        ...

    def declare_schedule(self, function: Function[Any, Any], definition: Mapping[str, Any]) -> ScheduleHandle:
        """Remember a declared schedule until the engine starts; return its handle."""
        ...

    async def create_schedule(
        self, function: Function[Any, Any], definition: Mapping[str, Any], *, replace: bool
    ) -> ScheduleHandle:
        """Store a schedule now and return its handle; raises `ScheduleConflict`, and why it was refused."""
        ...


class Function(Generic[P, R]):
    """A registered handler with its defaults. Calling it runs the handler here and now, as if it were undecorated.

    `concurrency` bounds its attempts at once in one worker process. `custom_backoff` takes the failures so far and
    returns seconds. `trip_on` names the exception types that count as failures of what it uses (empty = all).
    `context_parameter` is the parameter that the worker fills with the context.
    """

    def __init__(
        self,
        handler: Callable[..., Any],
        defaults: Defaults,
        *,
        submitter: Submitter | None = None,
        custom_backoff: CustomBackoff | None = None,
        concurrency: int | None = None,
        names: Mapping[str, Any] = _NO_NAMES,
        payload_limit: int = PAYLOAD_LIMIT,
        result_limit: int = RESULT_LIMIT,
    ) -> None:
        update_wrapper(self, handler)
        self.handler = handler
        self.defaults = defaults
        self.name = defaults.name
        self.executor: Executor = defaults.executor
        self.policy: Policy = defaults.policy
        self.durable = defaults.durable
        self.is_plain = defaults.is_plain
        self.is_async = is_coroutine_function(handler)
        self.custom_backoff = custom_backoff
        self.concurrency = concurrency
        self.trip_on: tuple[str, ...] = ()
        self.options = NO_OPTIONS
        self.own: Own | None = None
        self._submitter = submitter
        self._names = names
        self._binding: Binding | None = None
        self._annotated = False
        self._payload_limit = payload_limit
        self._result_limit = result_limit
        self.__wrapped__ = handler
        with suppress(NameError):  # an annotation defined further down its module is resolved at the first use
            self.prepare()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the handler inline; a coroutine function gives a coroutine."""
        return self.handler(*args, **kwargs)  # type: ignore[no-any-return]

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        """Stay itself in a class body: a function is no method, there is no `self` that could travel."""
        return self

    def __repr__(self) -> str:
        return f"<Function {self.name}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Submit one task and return its handle once it is stored; blocks."""
        if self.own is not None:
            return self._engine().submit_inside([(self, (args, kwargs))], self.own)[0]
        return self._engine().call(self.aenqueue(*args, **kwargs))

    def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, TaskHandle[R]]:
        """Submit one task and return its handle once it is stored."""
        if self.own is not None:
            return self._inside((args, kwargs), self.own)
        return self._engine().submit_call(self, args, kwargs, self.options)

    def enqueue_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[TaskHandle[R]]:
        """Submit many tasks in one transaction, all or none: a tuple is positional arguments, a mapping named ones."""
        if self.own is not None:
            return self._engine().submit_inside(self._mine(calls), self.own)
        return self._engine().call(self.aenqueue_many(calls))

    async def aenqueue_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[TaskHandle[R]]:
        """Submit many tasks in one transaction, all or none; as `enqueue_many`."""
        if self.own is not None:
            return await self._engine().asubmit_inside(self._mine(calls), self.own)
        made = [read_call(n, each) for n, each in enumerate(calls)]
        return await self._engine().submit_calls(self, made, self.options) if made else []

    def using(self, **options: Any) -> Self:
        """Return this function with other options for its submits.

        Takes the fields of a request: queue, priority, delay (seconds, text or timedelta) or run_at / at (text or
        aware datetime), timeout, retries, backoff, retry_on, unique, labels, requires, limits, headers, extensions,
        task_id, version, result_ttl, deadline, expires, expires_at. Raises `InvalidValue`, or `InvalidRequest` for
        several.

        `connection=` stores the task in the transaction that is open on a connection of yours to the same PostgreSQL
        database: a connection of asyncpg or psycopg, a Session or Connection of SQLAlchemy, Django's connection. It is
        there for workers from your commit on, and never was if you roll back; only then ask the handle for more than
        its id. `enqueue` is for synchronous connections, `aenqueue` for async ones. With `notify=False` the commit
        wakes no worker: the task is found at the next poll (the setting `poll`). `before_submit` hooks run,
        `after_submit` hooks do not, as nobody tells us of the commit. The calls then raise `InvalidValue` for a
        connection that does not fit, `NotSupported` where the store or the function cannot do it, and what your driver
        raises.
        """
        own = read_own(options, self.own)
        if "at" in options:
            options["run_at"] = options.pop("at")
        given = read_options(options)
        changed = {name: getattr(given, name) for name in given.__slots__ if name in options}
        if "timeout_ms" in options:
            changed["timeout"] = given.timeout
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.options = replace(self.options, **changed) if changed else self.options
        made.own = own
        return made

    def schedule(self, *, replace: bool = False, **definition: Any) -> ScheduleHandle:
        """Run it by a schedule: `function.schedule(cron="0 2 * * *", id="nightly")`; return its `ScheduleHandle`.

        Takes `id` and the fields of a schedule: one of `cron` (5, 6 or 7 fields, `@daily`, `@every 90s`), `every`
        (seconds, `"90s"`, a timedelta), `at` (a moment), `in_` (a duration from now) or `repeat` (`"R5/…/P1M"`);
        `timezone`, `args`, `kwargs`, `task` (options as `using` takes them; those of `using` hold too), `start_at`,
        `end_at`, `max_runs`, `overlap`, `catch_up`, `grace`, `jitter`, … (see the how-to on schedules).

        Before the engine is open this declares: the schedule is stored when the engine starts, under its id (default:
        the function's name). Afterwards it is stored now: the same id with the same definition answers the one that
        stands, with another raises `ScheduleConflict`, or edits it with `replace`. Blocks then; see `aschedule`.
        """
        engine = self._engine()
        if not engine.is_open:
            return engine.declare_schedule(self, self.definition(**definition))
        return engine.call(self.aschedule(replace=replace, **definition))

    async def aschedule(self, *, replace: bool = False, **definition: Any) -> ScheduleHandle:
        """Store a schedule of it now, opening the store if need be; return its `ScheduleHandle`. As `schedule`."""
        return await self._engine().create_schedule(self, self.definition(**definition), replace=replace)

    def definition(self, **given: Any) -> dict[str, Any]:
        """Return Python's spelling of a schedule as the request that it means.

        Raises `InvalidArguments`, `NotSupported`.
        """
        if self.own is not None:
            raise NotSupported("/connection", "a schedule is stored in no transaction of yours", rule="not_supported")
        made = {_SPELLED.get(key, key): value for key, value in given.items()}
        args, kwargs = made.get("args") or (), made.get("kwargs") or {}
        if args or kwargs:
            made["args"], made["kwargs"] = self.prepare().to_json(args, kwargs)
        if self.options is not NO_OPTIONS:
            made["task"] = {**task_form(self.options), **(made.get("task") or {})}
        return made

    @property
    def context_parameter(self) -> str | None:
        return (self._binding or self.prepare()).context_parameter

    def prepare(self) -> Binding:
        """Return the plan of its arguments; raises `NameError` for an annotation that cannot be resolved (yet)."""
        if self._binding is None:
            hints = resolve_hints(self.handler, self._names)
            self._annotated = "return" in hints
            self._binding = make_binding(self.handler, hints)
            self._names = _NO_NAMES  # they are the whole scope of the declaration: let go of it
        return self._binding

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the payload text of a call; raises `InvalidArguments` naming the argument."""
        return check_size((self._binding or self.prepare()).encode(args, kwargs), self._payload_limit)

    def decode(self, payload: str) -> Arguments:
        """Return the arguments of the handler, converted by its annotations; raises `InvalidArguments`."""
        return (self._binding or self.prepare()).decode(payload)

    def encode_result(self, value: Any) -> str:
        """Return what the handler returned as JSON text; raises `ResultNotSerialisable`, `ResultTooLarge`."""
        return encode_result(value, annotated=self._annotated, limit=self._result_limit)

    def unique_key(self, template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the unique key of a call of JSON values: `{parameter}` in the declared key stands for its argument."""
        return fill_template(template, self.prepare().named(args, kwargs))

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments of a call of JSON values by their names, with the defaults of the others."""
        return self.prepare().named(args, kwargs)

    def row(self, *, seen_at: int) -> FunctionRow:
        """Return what the store keeps of it."""
        schema = strict_json.dumps(arguments_schema(self.prepare()))
        doc = inspect.cleandoc(self.handler.__doc__ or "")
        text = defaults_to_text(self.defaults)
        return FunctionRow(self.name, self.defaults.version, self.executor, schema, text, doc, seen_at)

    def _mine(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[CallOf]:
        return [(self, read_call(place, each)) for place, each in enumerate(calls)]

    async def _inside(self, call: Call, own: Own) -> TaskHandle[R]:
        return (await self._engine().asubmit_inside([(self, call)], own))[0]

    def _engine(self) -> Submitter:
        if self._submitter is None:
            raise RuntimeError(f"{self.name} belongs to no engine: declare it with @engine.task")
        return self._submitter


class AsyncFunction(Function[P, R]):
    """A registered coroutine function: calling it gives the coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Return the handler's coroutine."""
        return self.handler(*args, **kwargs)  # type: ignore[no-any-return]


def is_coroutine_function(handler: Any) -> bool:
    """Whether calling `handler` gives a coroutine; sees through `functools.partial` and callable objects."""
    while hasattr(handler, "func") and hasattr(handler, "keywords"):
        handler = handler.func
    if not inspect.isroutine(handler) and not isinstance(handler, type):
        handler = type(handler).__call__
    return inspect.iscoroutinefunction(handler)


def read_call(place: int, given: object) -> Call:
    """Return the arguments of one call of many; raises `InvalidArguments` naming its place."""
    if isinstance(given, tuple):
        return given, {}
    if isinstance(given, Mapping):
        return (), given
    raise InvalidArguments(f"/{place}", "must be a tuple of arguments or a mapping of named ones", hint="write (x,)")


CallOf = tuple[Function[Any, Any], Call]
"""One call of one function."""
