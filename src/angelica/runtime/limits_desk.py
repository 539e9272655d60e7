"""The desk for limits: what operators see of queues, functions and keys, and what they may change there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from angelica.clock import Clock
from angelica.domain.gates import Kind, check_count, check_key, check_name, gate_of, parent_of, parts_of
from angelica.domain.limits import LimitSettings, rate_text, read_rate
from angelica.domain.task import NOTHING
from angelica.errors import InvalidValue, NotFound
from angelica.runtime import fields
from angelica.runtime.drafts import InvalidRequest
from angelica.runtime.functions import Function
from angelica.storage.limit_rules import effective
from angelica.storage.protocol import LimitPut, LimitRow, Storage

_MAX_REASON: Final = 1024
_MAX_HEADER: Final = 128
NO_HEADER: Final = "none"
"""In the settings: the queue is not shared by anybody."""
_QUEUE_FIELDS: Final = ("max_running", "rate", "paused", "max_depth", "ageing", "fair", "reason")
FIELDS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "queue": _QUEUE_FIELDS,
    "function": ("max_running", "rate", "reason"),
    "limit": ("max_running", "rate", "reason"),
}


class LimitsDesk:
    """The limits of one store. Safe to call from any event loop."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def rows(self, kind: Kind) -> dict[str, LimitRow]:
        """Return the gates of a kind."""
        rows = await self._storage.list_limits()
        return {row.gate: row for row in rows if row.gate.startswith(f"{kind}:")}

    async def queues(self) -> dict[str, LimitRow]:
        """Return the queues that have tasks or limits, by name."""
        known = {parts_of(gate)[1]: row for gate, row in (await self.rows("queue")).items()}
        names = {queue for queue, _ in await self._storage.counts()} | set(known)
        return {name: known.get(name, LimitRow(gate_of("queue", name))) for name in sorted(names)}

    async def change(self, kind: Kind, name: str, changes: Mapping[str, Any], *, key: str = "", by: str = "") -> None:
        """Set fields of a gate, null taking one back; raises `InvalidValue`, or `InvalidRequest` for several."""
        gate = _gate(kind, name, key)
        made = read_changes(kind, changes)
        await self._storage.put_limits([LimitPut(gate, changes=made, by=by)], now=self._clock.now())

    async def replace(self, name: str, settings: Mapping[str, Any], *, key: str = "", by: str = "") -> None:
        """Set all that an operator can set of a limit."""
        whole = {**dict.fromkeys(FIELDS["limit"]), **settings}
        if settings.get("max_running") is None and settings.get("rate") is None:
            raise InvalidValue("/max_running", "is missing: a limit has max_running, or rate, or both", rule="missing")
        await self.change("limit", name, whole, key=key, by=by)

    async def delete(self, name: str, key: str = "") -> None:
        """Take back what an operator has set of a limit; raises `NotFound`."""
        (done,) = await self._storage.delete_limits([_gate("limit", name, key)], now=self._clock.now())
        if not done:
            raise NotFound(f"nothing is set for the limit {f'{name}/{key}' if key else name!r}")


def settings_in(rows: Mapping[str, LimitRow], gate: str) -> LimitSettings:
    """Return what holds at a gate."""
    own, parent = rows.get(gate), rows.get(parent_of(gate) or "")
    return effective(*[None if row is None else (row.declared, row.override) for row in (own, parent)])


def settings_view(settings: LimitSettings, kind: str) -> dict[str, Any]:
    """Return settings as JSON values."""
    shown: dict[str, Any] = {
        "max_running": settings.max_running,
        "rate": None if settings.rate is None else rate_text(settings.rate),
    }
    if kind == "queue":
        ageing = None if settings.ageing is None else settings.ageing / 1_000_000
        shown |= {"paused": settings.paused, "max_depth": settings.max_depth, "ageing": ageing}
        shown["fair"] = settings.fair
    return shown


def read_changes(kind: Kind, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as they are stored; all problems are collected."""
    problems: list[InvalidValue] = []
    made: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in FIELDS[kind]:
            near = fields.near(name, FIELDS[kind])
            hint = f"did you mean {near}?" if near else f"a {kind} takes {', '.join(FIELDS[kind])}"
            problems.append(InvalidValue(f"/{name}", "unknown field", hint=hint, rule="unknown_field"))
            continue
        try:
            made[name] = None if value is None else _READERS[name](value)
        except ValueError as error:
            problems.append(InvalidValue(f"/{name}", str(error)))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InvalidRequest(problems)
    return made


def declared(functions: Iterable[Function[..., Any]], fair: Mapping[str, str] = NOTHING) -> list[LimitPut]:
    """Return what code declares of limits. What a function declares no more is taken back.

    `fair` are the queues that the settings want shared, each with the header that names its tenants. What was declared
    of one is taken back by the word `none` alone: another process may have other settings, and leave the queue out.
    """
    puts = [
        LimitPut(gate_of("queue", queue), declared={} if header == NO_HEADER else {"fair": header})
        for queue, header in fair.items()
    ]
    for function in functions:
        defaults = function.defaults
        own = {"max_running": defaults.max_running, "rate": defaults.rate}
        gate = gate_of("function", defaults.name)
        puts.append(LimitPut(gate, declared={name: value for name, value in own.items() if value is not None}))
        if not defaults.limits:
            puts.append(LimitPut(gate_of("limit", defaults.name), declared={}))
        puts += [LimitPut(gate_of("limit", limit.name), declared=limit.settings) for limit in defaults.limits]
    return puts


def _gate(kind: Kind, name: str, key: str) -> str:
    try:
        (check_name if kind == "limit" else fields.name)(name)
        if key:
            check_key(key)
    except ValueError as error:
        raise InvalidValue("/key" if key and kind == "limit" else "/name", str(error)) from None
    return gate_of(kind, name, key)


def _reason(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_REASON:
        raise ValueError(f"must be text of at most {_MAX_REASON} characters")
    return value


def _paused(value: Any) -> bool | None:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one kind of error for all readers
    return value or None


def _header(value: Any) -> str:
    if value is False:  # stored as a word of its own, since what is null is what the settings say
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_HEADER or not value.isprintable():
        raise ValueError(f'must be the name of a header, like "tenant", of at most {_MAX_HEADER} characters, or false')
    return value


def _ageing(value: Any) -> int:
    micros = fields.duration(value)
    if micros <= 0:
        raise ValueError("must be above 0: the wait that is worth one step of priority")
    return micros


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "max_running": lambda value: check_count("max_running", value),
    "max_depth": lambda value: check_count("max_depth", value),
    "rate": lambda value: rate_text(read_rate(value)),
    "paused": _paused,
    "ageing": _ageing,
    "fair": _header,
    "reason": _reason,
}
