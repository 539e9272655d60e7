"""Gates: the names under which limits are stored and counted, and the templates that make keys of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from angelica.domain.limits import MOST, read_rate
from angelica.domain.task import NewTask

Kind = Literal["queue", "function", "limit", "breaker"]
KINDS: Final[tuple[Kind, ...]] = ("queue", "function", "limit", "breaker")
MOST_LIMITS: Final = 8
"""How many keys one task can have."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}")
_FIELD: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]")
_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit for each value of a key: at most `max_running` at once, at most `rate` ("100/m", "5/s") begun.

    `key` is a template over the arguments and the headers of a task, `"{tenant}"`; without one all share the limit.
    `name` is what it is stored under, by default that of the function: functions that name the same share it.
    """

    key: str = ""
    max_running: int | None = None
    rate: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.max_running is None and self.rate is None:
            raise ValueError("a limit has max_running, or rate, or both")
        if self.max_running is not None:
            check_count("max_running", self.max_running)
        if self.rate is not None:
            try:
                read_rate(self.rate)
            except ValueError as error:
                raise ValueError(f"the rate of a limit {error}") from None
        if self.name:
            check_name(self.name)
        fields_of(self.key)

    @property
    def settings(self) -> dict[str, Any]:
        """What is stored of it."""
        known = {"max_running": self.max_running, "rate": self.rate}
        return {name: value for name, value in known.items() if value is not None}


def check_count(field: str, value: Any) -> int:
    """Return a number that a limit can be; raises `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise ValueError(f"{field} must be a whole number from 0 to {MOST}, not {value!r}")
    return value


def check_name(value: Any) -> str:
    """Return the name of a limit, a queue or a function; raises `ValueError`."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ValueError(f"must be 1 to 128 of A-Z a-z 0-9 . _ : - and not begin with . : or -, not {value!r}")
    return value


def check_key(value: Any) -> str:
    """Return the key of a limit; raises `ValueError`."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
        raise ValueError(f"must be 1 to {_LONGEST} printable characters, not {value!r}")
    return value


def fields_of(template: str) -> list[str]:
    """Return the names in a template; raises `ValueError` if it cannot be read."""
    names = []
    for found in _FIELD.finditer(template):
        if found[0] in {"{", "}"}:
            raise ValueError(f"the template {template!r} has a lone {found[0]}; write {found[0] * 2} for the character")
        if found[1] is not None:
            names.append(found[1])
    return names


def render(template: str, arguments: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return the key that a template gives for a task; an argument goes before a header of its name.

    Raises `ValueError` where a name is missing, or its value is no text, number or truth value.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return found[0][0]
        if name not in arguments and name not in headers:
            raise ValueError(f"the key {template!r} of a limit wants {name}: no argument and no header has that name")
        known = arguments[name] if name in arguments else headers[name]
        if isinstance(known, bool):
            return "true" if known else "false"
        if not isinstance(known, str | int):
            message = f"the key {template!r} of a limit wants {name} to be text or a whole number"
            raise ValueError(message)  # noqa: TRY004 - one kind of error for whatever is wrong with it
        return str(known)

    key = _FIELD.sub(value, template)
    try:
        return check_key(key)
    except ValueError as error:
        raise ValueError(f"the key {template!r} of a limit {error}") from None


def gate_of(kind: Kind, name: str, key: str = "") -> str:
    """Return the id of the gate of a queue, a function, or a limit's key."""
    return f"{kind}:{name}/{key}" if key else f"{kind}:{name}"


def parts_of(gate: str) -> tuple[str, str, str]:
    """Return (kind, name, key) of a gate's id."""
    kind, _, rest = gate.partition(":")
    name, _, key = rest.partition("/") if kind == "limit" else (rest, "", "")
    return kind, name, key


def parent_of(gate: str) -> str | None:
    """Return the gate whose settings hold for a key that has none of its own, None for one that is no key."""
    kind, name, key = parts_of(gate)
    return gate_of("limit", name) if kind == "limit" and key else None


def gates_of(task: NewTask) -> Sequence[str]:
    """Return the gates that a task has to pass where they are shut: of its queue, function, keys and downstreams."""
    gates = gates_for(task.queue, task.function, task.extras.limits)
    return [*gates, *(f"breaker:{name}" for name in task.extras.uses)] if task.extras.uses else gates


def gates_for(queue: str, function: str, limits: Sequence[str]) -> list[str]:
    """Return the same for a queue, a function and limits ("name" or "name/key")."""
    return [f"queue:{queue}", f"function:{function}", *(f"limit:{limit}" for limit in limits)]


def is_gate(held: str) -> bool:
    """Whether a rule that holds a task is a limit or a breaker."""
    return held.startswith(("function:", "limit:", "breaker:"))
