"""Making the task: from defaults, options, the surrounding attempt and a moment to one `NewTask`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import msgspec

from angelica.current import CURRENT
from angelica.domain.gates import Limit, render
from angelica.domain.ids import Snowflake, Uuid7, uuid4
from angelica.domain.task import NO_EXTRAS, NOTHING, Extras, NewTask, Policy, Unique
from angelica.domain.value import maker
from angelica.durations import LAST_MOMENT
from angelica.errors import InvalidValue
from angelica.runtime.assignment import Assignment
from angelica.runtime.defaults import Defaults
from angelica.runtime.fields import MAX_UNIQUE_KEY
from angelica.runtime.options import NO_OPTIONS, UNSET, Options

TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)
_NO_TRACE: Final = "0" * 32
_NODES: Final = 10

_new_task: Final = maker(NewTask)
_canonical: Final = msgspec.json.Encoder(order="sorted").encode


class Target(Protocol):
    """A function that can be submitted: one of this process, or one known from the store only."""

    @property
    def defaults(self) -> Defaults: ...

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the payload text; raises `InvalidArguments`."""
        ...

    def unique_key(self, template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the unique key that a declared template gives for these arguments (JSON values)."""
        ...

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments (JSON values) by their names."""
        ...


@dataclass(frozen=True, slots=True)
class Parent:
    """The attempt that submits, if one does: its children share its trace and must not outlive its deadline."""

    task_id: str
    trace_id: str
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One call to submit. `headers` are those of the options and what the surface and the hooks added."""

    target: Target
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Options = NO_OPTIONS
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    created_by: str | None = None


def current_parent() -> Parent | None:
    """Return the attempt that the current thread or asyncio task is executing."""
    running = CURRENT.get()
    if running is None:
        return None
    deadline = running.task.spec.deadline if isinstance(running, Assignment) else None
    return Parent(running.task_id, running.trace_id, deadline)


class TaskMaker:
    """Makes tasks; `bits(n)` gives n random bits."""

    __slots__ = ("_bits", "_snowflake", "_uuid7")

    def __init__(self, bits: Callable[[int], int]) -> None:
        self._bits = bits
        self._uuid7 = Uuid7(bits).make
        self._snowflake = Snowflake(bits(_NODES))

    def plain(self, defaults: Defaults, payload: str, wall: int) -> NewTask:
        """Return a task with nothing but its function's defaults: the hot path."""
        task_id = self._uuid7(wall)
        return _new_task(
            task_id,
            defaults.name,
            payload,
            wall,
            wall,
            defaults.policy,
            defaults.queue,
            defaults.executor,
            defaults.priority,
            defaults.version,
            task_id.replace("-", ""),  # as good a trace id as any, and one number less to look up
        )

    def make(self, asked: Asked, payload: str, wall: int, parent: Parent | None) -> NewTask:
        """Return the task of a call; raises `InvalidValue` where moments contradict each other."""
        options = asked.options
        defaults = asked.target.defaults
        run_at = self._run_at(options, wall)
        expires_at = options.expires_at
        wait = defaults.expires if options.expires is None else options.expires
        if expires_at is None and wait is not None:
            expires_at = run_at + wait
        return NewTask(
            id=options.task_id or self._id(defaults, wall),
            function=defaults.name,
            payload=payload,
            run_at=run_at,
            created_at=wall,
            policy=_policy(defaults.policy, options),
            queue=options.queue or defaults.queue,
            executor=defaults.executor,
            priority=defaults.priority if options.priority is None else options.priority,
            version=defaults.version if options.version is None else options.version,
            trace_id=self.trace_id(asked.headers, parent),
            unique=_unique(asked, payload),
            expires_at=_after("expires_at", expires_at, run_at, given=options.expires_at is not None),
            deadline=_deadline(options, run_at, parent),
            extras=_extras(asked, payload, parent),
        )

    def trace_id(self, headers: Mapping[str, str], parent: Parent | None) -> str:
        """Return the trace of a `traceparent` header (W3C Trace Context), else the parent's, else a new one."""
        found = TRACEPARENT.fullmatch(headers.get("traceparent", "")) if headers else None
        if found and found[1] != _NO_TRACE:
            return found[1]
        return parent.trace_id if parent is not None and parent.trace_id else f"{self._bits(128):032x}"

    def again(self, spec: NewTask, *, wall: int, run_at: int) -> NewTask:
        """Return a new task that does what `spec` did: same arguments, policy and labels, and a budget of its own."""
        return replace(
            spec,
            id=self._uuid7(wall),
            run_at=run_at,
            created_at=wall,
            expires_at=None,
            deadline=None,
            extras=replace(spec.extras, retry_of=spec.id, digest=None, schedule_id=None),
        )

    def _id(self, defaults: Defaults, wall: int) -> str:
        match defaults.id_strategy:
            case "uuid7":
                return self._uuid7(wall)
            case "uuid4":
                return uuid4(self._bits(128))
            case "snowflake":
                return self._snowflake.make(wall)

    @staticmethod
    def _run_at(options: Options, wall: int) -> int:
        if options.run_at is not None:
            return options.run_at
        if not options.delay:
            return wall
        if wall + options.delay >= LAST_MOMENT:
            raise InvalidValue("/delay", "must end before the year 2200", rule="too_large")
        return wall + options.delay


def _policy(policy: Policy, options: Options) -> Policy:
    changes: dict[str, Any] = {}
    if options.timeout is not UNSET:
        changes["timeout"] = options.timeout
    for name in ("retries", "backoff", "retry_on", "max_crashes"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    if options.result_ttl is not None:
        changes["retention"] = options.result_ttl
    return replace(policy, **changes) if changes else policy


def _unique(asked: Asked, payload: str) -> Unique | None:
    if asked.options.unique is not None:
        return asked.options.unique
    declared = asked.target.defaults.unique
    if declared is None:
        return None
    key = declared.key
    if "{" in key:  # filled from the payload, so that a moment or an enum gives the same key on every surface
        stored = msgspec.json.decode(payload)
        key = asked.target.unique_key(key, stored["args"], stored["kwargs"])
    if len(key) > MAX_UNIQUE_KEY:
        key = hashlib.sha256(key.encode()).hexdigest()
    return replace(declared, key=key)


def _deadline(options: Options, run_at: int, parent: Parent | None) -> int | None:
    own = _after("deadline", options.deadline, run_at, given=True)
    inherited = None if parent is None else parent.deadline
    return inherited if own is None else own if inherited is None else min(own, inherited)


def _after(name: str, moment: int | None, run_at: int, *, given: bool) -> int | None:
    if given and moment is not None and moment <= run_at:
        raise InvalidValue(f"/{name}", "must be after the moment when the task is due", rule="too_small")
    return moment


def _extras(asked: Asked, payload: str, parent: Parent | None) -> Extras:
    options = asked.options
    defaults = asked.target.defaults
    labels = {**defaults.labels, **(options.labels or {}), **asked.labels}
    requires = defaults.requires if options.requires is None else options.requires
    if requires and not defaults.durable:
        raise InvalidValue("/requires", f"a task of {defaults.name} stays in its process: it is not durable")
    extras = Extras(
        headers=dict(asked.headers) or NOTHING,
        labels=labels or NOTHING,
        extensions=options.extensions or NOTHING,
        created_by=asked.created_by or options.created_by,
        digest=None if options.task_id is None else _digest(defaults.name, payload, options),
        parent_id=None if parent is None else parent.task_id,
        resources=(defaults.resources if options.resources is None else options.resources) or NOTHING,
        requires=requires or NOTHING,
        uses=defaults.uses,
        latency=defaults.latency,
        limits=_limits(asked, payload),
    )
    return NO_EXTRAS if extras == NO_EXTRAS else extras


def _limits(asked: Asked, payload: str) -> tuple[str, ...]:
    """Return the limits that a task counts towards, each as "name" or "name/key".

    What is named takes the place of what the declared limit of that name would give; a word that is no declared name is
    a key of the one limit that is declared, or else the name of a stored one.
    """
    declared = {limit.name: limit for limit in asked.target.defaults.limits}
    found: dict[str, str] = {}
    for word in asked.options.limits or ():
        name, slash, _ = word.partition("/")
        if name not in declared and not slash and len(declared) == 1:
            name = next(iter(declared))
            word = f"{name}/{word}"  # noqa: PLW2901 - as it is meant
        found[word if name not in declared else name] = word
    rest = [limit for name, limit in declared.items() if name not in found]
    if rest:
        stored = msgspec.json.decode(payload)
        bound = asked.target.named(stored["args"], stored["kwargs"]) if any(limit.key for limit in rest) else NOTHING
        for limit in rest:
            found[limit.name] = _limit_key(limit, bound, asked.headers)
    if found and not asked.target.defaults.durable:
        name = asked.target.defaults.name
        raise InvalidValue("/limits", f"a task of {name} stays in its process: it is not durable")
    return tuple(found.values())


def _limit_key(limit: Limit, bound: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    try:
        return f"{limit.name}/{render(limit.key, bound, headers)}" if limit.key else limit.name
    except ValueError as error:
        raise InvalidValue("/limits", str(error), rule="template") from None


def _digest(name: str, payload: str, options: Options) -> str:
    """What two submits of one id must share: function, arguments and given options, on whatever surface they came."""
    said = {"name": name, "payload": msgspec.json.decode(payload), "options": options.canonical()}
    return hashlib.sha256(_canonical(said)).hexdigest()
