"""A function's defaults: what a task of it gets where the submit says nothing, as declared and as stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from angelica import strict_json
from angelica.clock import SECOND
from angelica.domain.gates import Limit, check_name
from angelica.domain.ids import IdStrategy
from angelica.domain.retry import PROFILES, Backoff, Profile, backoff_from_dict, backoff_to_dict
from angelica.domain.task import DEFAULT_POLICY, NOTHING, Executor, Policy, Unique
from angelica.errors import InvalidValue, NotSupported
from angelica.runtime import fields
from angelica.runtime.drafts import UNSERVED

Overflow = Literal["reject", "spill", "drop_oldest"]
OVERFLOWS: Final = ("reject", "spill", "drop_oldest")
ID_STRATEGIES: Final = ("uuid7", "uuid4", "snowflake")
MAX_CONCURRENCY: Final = 100_000

UNSERVED_DEFAULTS: Final = {
    **UNSERVED,
    "command": "a function is none; see the page on commands",
}
"""What a declaration of a function cannot say."""

CustomBackoff = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Defaults:
    """The declared part of a function that a submit needs; every process can have it from the store.

    `max_running` and `rate` are declared of all its tasks together, `limits` by key, each with its name. `expires`
    (microseconds) is how long a task may wait past its due time. `unique`'s key may hold `{parameter}`. `uses` names
    breakers; an attempt that takes longer than `latency` (microseconds) counts as slow there. `resources` are CPUs
    (`cpu`) and bytes (`memory`).
    """

    name: str
    executor: Executor
    policy: Policy = DEFAULT_POLICY
    queue: str = "default"
    priority: int = 0
    version: int = 1
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    requires: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    unique: Unique | None = None
    expires: int | None = None
    durable: bool = True
    overflow: Overflow = "reject"
    id_strategy: IdStrategy = "uuid7"
    uses: tuple[str, ...] = ()
    latency: int | None = None
    limits: tuple[Limit, ...] = ()
    max_running: int | None = None
    rate: str | None = None
    resources: Mapping[str, float] = field(default_factory=lambda: NOTHING)

    @property
    def is_plain(self) -> bool:
        """Whether a task needs nothing beyond the columns that every task has."""
        rare = self.labels or self.requires or self.resources or self.unique or self.expires or self.limits or self.uses
        return self.id_strategy == "uuid7" and not rare


def defaults_to_text(defaults: Defaults) -> str:
    """Return the defaults as the JSON text of a `FunctionRow`; durations in seconds."""
    policy = defaults.policy
    unique = defaults.unique
    return strict_json.dumps(
        {
            "queue": defaults.queue,
            "priority": defaults.priority,
            "timeout": None if policy.timeout is None else policy.timeout / SECOND,
            "retries": policy.retries,
            "max_crashes": policy.max_crashes,
            "backoff": backoff_to_dict(policy.backoff),
            "retry_on": list(policy.retry_on),
            "result_ttl": policy.retention / SECOND,
            "labels": dict(defaults.labels),
            "requires": dict(defaults.requires),
            "unique": unique and {"key": unique.key, "scope": unique.scope, "on_conflict": unique.on_conflict},
            "expires": None if defaults.expires is None else defaults.expires / SECOND,
            "durable": defaults.durable,
            "overflow": defaults.overflow,
            "id_strategy": defaults.id_strategy,
            "uses": list(defaults.uses),
            "latency": None if defaults.latency is None else defaults.latency / SECOND,
            "limits": [{"name": limit.name, "key": limit.key, **limit.settings} for limit in defaults.limits],
            "max_running": defaults.max_running,
            "rate": defaults.rate,
            "resources": dict(defaults.resources),
        }
    )


def defaults_from_text(name: str, version: int, executor: Executor, text: str) -> Defaults:
    """Return the defaults of a stored function."""
    form = strict_json.loads(text)
    policy = Policy(
        timeout=None if form["timeout"] is None else round(form["timeout"] * SECOND),
        retries=form["retries"],
        max_crashes=form["max_crashes"],
        backoff=backoff_from_dict(form["backoff"]),
        retry_on=tuple(form["retry_on"]),
        retention=round(form["result_ttl"] * SECOND),
    )
    return Defaults(
        name=name,
        executor=executor,
        policy=policy,
        queue=form["queue"],
        priority=form["priority"],
        version=version,
        labels=form["labels"],
        requires=form.get("requires", NOTHING),
        unique=None if form["unique"] is None else Unique(**form["unique"]),
        expires=None if form["expires"] is None else round(form["expires"] * SECOND),
        durable=form["durable"],
        overflow=form["overflow"],
        id_strategy=form["id_strategy"],
        uses=tuple(form.get("uses", ())),
        latency=None if form.get("latency") is None else round(form["latency"] * SECOND),
        limits=tuple([Limit(**limit) for limit in form.get("limits", ())]),
        max_running=form.get("max_running"),
        rate=form.get("rate"),
        resources=form.get("resources", NOTHING),
    )


def read_defaults(
    name: str,
    executor: Executor,
    given: Mapping[str, Any],
    *,
    profiles: Mapping[str, Profile] = PROFILES,
    retention: int = DEFAULT_POLICY.retention,
) -> Defaults:
    """Return the defaults of a declaration; raises `InvalidValue` naming what is wrong with `@engine.task(…)`."""
    _check(given, name)

    def read(key: str, reader: Callable[[Any], Any], default: Any) -> Any:
        value = given.get(key)
        if value is None:
            return default
        try:
            return reader(value)
        except (InvalidValue, ValueError) as error:
            raise _refused(key, error, name) from None

    grade = profiles.get(read("profile", _choice(*profiles), None))
    policy = Policy(
        timeout=DEFAULT_POLICY.timeout if grade is None else round(grade.timeout * SECOND),
        retries=read("retries", fields.retries, DEFAULT_POLICY.retries if grade is None else grade.retries),
        max_crashes=read("max_crashes", fields.max_crashes, DEFAULT_POLICY.max_crashes),
        backoff=read("backoff", _policy_backoff, DEFAULT_POLICY.backoff),
        retry_on=read("retry_on", fields.retry_on, ()),
        retention=read("result_ttl", fields.duration, retention),
    )
    if "timeout" in given:
        policy = _with_timeout(policy, given["timeout"], name)
    return Defaults(
        name=name,
        executor=executor,
        policy=policy,
        queue=read("queue", fields.name, "default"),
        priority=read("priority", fields.priority, 0),
        version=read("version", fields.version, 1),
        labels=read("labels", fields.labels, NOTHING),
        requires=read("requires", fields.requires, NOTHING),
        unique=read("unique", fields.unique, None),
        expires=read("expires", fields.duration, None),
        durable=_durable(read("durable", _flag, default=True), executor, name),
        overflow=read("overflow", _choice(*OVERFLOWS), "reject"),
        id_strategy=read("id_strategy", _choice(*ID_STRATEGIES), "uuid7"),
        **_gates(read, name),
    )


def _refused(key: str, error: InvalidValue | ValueError, name: str) -> InvalidValue:
    """Return what is wrong with an argument of a declaration, or with a member of it."""
    where = f"(in the declaration of {name})"
    if isinstance(error, InvalidValue):
        return InvalidValue(error.field, f"{error.problem} {where}", hint=error.hint, rule=error.rule, **error.params)
    return InvalidValue(f"/{key}", f"{error} {where}")


def _gates(read: Callable[..., Any], name: str) -> dict[str, Any]:
    """Return what may hold tasks of the function back: limits, breakers, and a machine without room for them."""
    return {
        "resources": read("resources", fields.resources, NOTHING),
        "limits": _named(read("limits", fields.declared_limits, ()), name),
        "max_running": read("max_running", fields.max_running, None),
        "rate": read("rate", fields.rate, None),
        "uses": read("uses", fields.uses, ()),
        "latency": read("latency", fields.latency, None),
    }


def _check(given: Mapping[str, Any], name: str) -> None:
    for key in given:
        if key in UNSERVED_DEFAULTS:
            raise NotSupported(f"/{key}", UNSERVED_DEFAULTS[key], rule="not_supported")
    for key in ("requires", "limits", "max_running", "rate", "uses"):
        if given.get(key) and given.get("durable") is False:
            raise InvalidValue(f"/{key}", f"excludes durable=False, which stays in its process (in {name})")
    for key in ("latency", "trip_on"):
        if given.get(key) is not None and not given.get("uses"):
            raise InvalidValue(f"/{key}", f"says when a breaker trips: name it with uses= (in {name})")


def _named(limits: tuple[Limit, ...], name: str) -> tuple[Limit, ...]:
    """Give limits without a name that of their function, numbered from the second on."""
    names = [limit.name or (f"{name}.{place}" if place else name) for place, limit in enumerate(limits)]
    try:
        for each in names:
            check_name(each)
    except ValueError as error:
        raise InvalidValue(
            "/limits", f"the name of a limit {error}", hint='give it one: Limit(…, name="tenant")'
        ) from None
    if len(set(names)) < len(names):
        raise InvalidValue("/limits", f"two limits of {name} have the same name", rule="duplicate")
    return tuple([replace(limit, name=each) for limit, each in zip(limits, names, strict=True)])


def _durable(value: bool, executor: Executor, name: str) -> bool:  # noqa: FBT001 - what was declared
    if executor == "process" and not value:
        problem = f"a function that is not durable runs in the process that submits it ({name})"
        raise InvalidValue("/executor", problem, hint="auto, async or thread; or leave it durable")
    return value


def read_concurrency(value: Any, name: str) -> int | None:
    """Return a bound on attempts at once in one worker process, None for none."""
    if value is None:
        return None
    try:
        return fields.integer(1, MAX_CONCURRENCY)(value)
    except ValueError as error:
        raise InvalidValue("/concurrency", f"{error} (in the declaration of {name})") from None


def read_trip_on(value: Any, name: str) -> tuple[str, ...]:
    """Return the names of the exception types that count as failures of a downstream; empty for all."""
    if value is None:
        return ()
    try:
        return fields.retry_on(value)
    except ValueError as error:
        raise InvalidValue("/trip_on", f"{error} (in the declaration of {name})") from None


def _with_timeout(policy: Policy, value: Any, name: str) -> Policy:
    try:
        micros = fields.timeout(value)
    except ValueError as error:
        raise InvalidValue("/timeout", f"{error} (in the declaration of {name})") from None
    return Policy(micros, policy.retries, policy.max_crashes, policy.backoff, policy.retry_on, policy.retention)


def _policy_backoff(value: Any) -> Backoff:
    # A function of the user's own is called by the worker; what any process can settle with stays exponential.
    return DEFAULT_POLICY.backoff if callable(value) else fields.backoff(value)


def _choice(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}; not {value!r}")
        return str(value)

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one kind of error for all readers
    return value
