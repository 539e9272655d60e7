"""Drafts: a request to run a function, read strictly from what HTTP, the CLI or Python hand in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from angelica.domain.task import NOTHING
from angelica.errors import InvalidArguments, InvalidValue, NotSupported, Refused
from angelica.runtime import fields
from angelica.runtime.options import NO_OPTIONS, Options
from angelica.strict_json import pointer

_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "queue": fields.name,
    "priority": fields.priority,
    "delay": fields.duration,
    "run_at": fields.moment,
    "timeout": fields.timeout,
    "timeout_ms": fields.timeout_ms,
    "retries": fields.retries,
    "backoff": fields.backoff,
    "retry_on": fields.retry_on,
    "max_crashes": fields.max_crashes,
    "unique": fields.unique,
    "labels": fields.labels,
    "requires": fields.requires,
    "limits": fields.limits,
    "headers": fields.headers,
    "extensions": fields.extensions,
    "task_id": fields.task_id,
    "version": fields.version,
    "result_ttl": fields.duration,
    "deadline": fields.moment,
    "expires": fields.duration,
    "expires_at": fields.moment,
    "resources": fields.resources,
}
OPTION_FIELDS: Final = frozenset(_READERS)
FIELDS: Final = OPTION_FIELDS | {"name", "command", "args", "kwargs"}

UNSERVED: Final = {
    "env": "is said by the configuration of a command alone",
    "cwd": "is private to each run of a command",
    "stdin": "is empty for a command; input of its own comes with a later version",
    "depends_on": "dependencies come with workflows in a later version",
    "callback": "webhooks come with a later version",
    "callback_url": "webhooks come with a later version",
    "concurrency_key": "is called limits here: a list of keys",
    "connection": "is for the process that has it: function.using(connection=…) in Python",
}
"""Fields that are known and not served yet: refused, never accepted and ignored."""

_EMPTY: Final[tuple[Any, ...]] = (None, {}, [], "")
_ALIASES: Final = {"at": "run_at", "key": "unique", "id": "task_id", "eta": "run_at", "countdown": "delay"}
_EXCLUSIVE: Final = (("delay", "run_at"), ("timeout", "timeout_ms"), ("expires", "expires_at"))
_NULLABLE: Final = frozenset({"timeout", "timeout_ms"})

_canonical: Final = msgspec.json.Encoder(order="sorted").encode


class InvalidRequest(Refused):
    """More than one field is wrong; `problems` has one `InvalidValue` for each."""

    code = "validation-failed"

    def __init__(self, problems: list[InvalidValue]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


@dataclass(frozen=True, slots=True)
class Draft:
    """A request to run the function `name` with JSON arguments, or else the command line `command`.

    Whether it exists, takes the arguments or is allowed is seen at submit. `headers` (not those of `options`) and
    `created_by` may be added to by the surface that took the request.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    options: Options = NO_OPTIONS
    created_by: str | None = None
    command: str | None = None


def read_draft(obj: Any) -> Draft:
    """Return the draft of a request object (interface: `POST /tasks`).

    All problems are collected: one is raised as the `InvalidValue` it is, several as `InvalidRequest`.
    """
    if not isinstance(obj, Mapping):
        raise InvalidValue("", f"must be an object, not {fields.kind_of(obj)}", rule="type")
    problems: list[InvalidValue] = []
    name, command = _read_name(obj, problems)
    args = _read_args(obj.get("args"), problems)
    kwargs = _read_kwargs(obj.get("kwargs"), problems)
    rest = {key: value for key, value in obj.items() if key not in ("name", "command", "args", "kwargs")}
    options = _read_options(rest, problems)
    _raise(problems)
    headers = NOTHING if options.headers is None else options.headers
    return Draft(name, args, kwargs, headers, options, command=command)


def read_options(given: Mapping[str, Any]) -> Options:
    """Return the options of `using(…)` or of any other surface that has the function already."""
    problems: list[InvalidValue] = []
    options = _read_options(given, problems)
    _raise(problems)
    return options


def digest(obj: Any) -> str:
    """Return the SHA-256 (hex) of a request as canonical JSON: keys in order, no white space, before defaults."""
    return hashlib.sha256(_canonical(obj)).hexdigest()


def _raise(problems: list[InvalidValue]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InvalidRequest(problems)


def _read_name(obj: Mapping[str, Any], problems: list[InvalidValue]) -> tuple[str, str | None]:
    """Return the name of a function, or else a command line."""
    given = [key for key in ("name", "command") if obj.get(key) is not None]
    if len(given) > 1:
        problems.append(InvalidValue("/command", "give either name or command", rule="exclusive"))
        return "", None
    if not given:
        hint = 'the name of a function, e.g. "reports.render"; or command, a command line'
        problems.append(InvalidValue("/name", "is missing", hint=hint, rule="missing"))
        return "", None
    (key,) = given
    if key == "command":
        wrong = [other for other in ("args", "kwargs") if obj.get(other)]
        problems += [
            InvalidValue(f"/{other}", "is for functions; a command has words", rule="exclusive") for other in wrong
        ]
    try:
        return ("", fields.command(obj[key])) if key == "command" else (fields.name(obj[key]), None)
    except ValueError as error:
        problems.append(InvalidValue(f"/{key}", str(error)))
        return "", None


def _read_args(value: Any, problems: list[InvalidValue]) -> tuple[Any, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        problems.append(InvalidArguments("/args", f"must be a list, not {fields.kind_of(value)}", rule="type"))
        return ()
    return tuple(value)


def _read_kwargs(value: Any, problems: list[InvalidValue]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        problems.append(InvalidArguments("/kwargs", f"must be an object, not {fields.kind_of(value)}", rule="type"))
        return {}
    return dict(value)


def _read_options(given: Mapping[Any, Any], problems: list[InvalidValue]) -> Options:
    made: dict[str, Any] = {}
    for key, value in given.items():
        at = pointer("", key) if isinstance(key, str) else ""
        reader = _READERS.get(key)
        if reader is None:
            problem = _unknown(str(key), value, at)
            if problem is not None:
                problems.append(problem)
            continue
        if value is None and key not in _NULLABLE:
            continue  # null = the default, for every field that has no null of its own
        try:
            made["timeout" if key == "timeout_ms" else key] = reader(value)
        except InvalidValue as problem:
            problems.append(problem)
        except fields.Wrong as error:
            problems.append(InvalidValue(at, str(error), rule=error.rule, **error.params))
        except ValueError as error:
            problems.append(InvalidValue(at, str(error)))
    for one, other in _EXCLUSIVE:
        if given.get(one) is not None and given.get(other) is not None:
            problems.append(InvalidValue(f"/{other}", f"excludes {one}; give one of them", rule="exclusive"))
    return Options(**made) if made else NO_OPTIONS


def _unknown(key: str, value: Any, at: str) -> InvalidValue | None:
    if key in UNSERVED:
        # An empty one asks for nothing: a client may send the whole form with its defaults.
        if value in _EMPTY:
            return None
        return NotSupported(at, UNSERVED[key], rule="not_supported")
    near = _ALIASES.get(key) or fields.near(key, FIELDS)
    params = {"suggestion": near} if near else {}
    hint = f"did you mean {near}?" if near else ""
    return InvalidValue(at, "unknown field", hint=hint, rule="unknown_field", **params)
