"""Readers of single request fields: each returns the engine's value, or raises `ValueError` with what would be right.

They take JSON values and, since Python's `using()` goes through the same gate, the Python values that mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from angelica import strict_json
from angelica.domain.command_config import LEAST_MEMORY, MOST_CPUS
from angelica.domain.gates import MOST_LIMITS, Limit, check_key, check_name
from angelica.domain.ids import check_id
from angelica.domain.labels import read_labels
from angelica.domain.limits import MOST, rate_text, read_rate
from angelica.domain.retry import Backoff, Exponential, Fixed, Linear, backoff_from_dict, check_backoff
from angelica.domain.task import PRIORITY_RANGE, Unique
from angelica.durations import parse_duration, parse_moment, parse_size
from angelica.errors import InvalidValue

MAX_NAME: Final = 255
MAX_RETRIES: Final = 1000
MAX_PAIRS: Final = 64
MAX_VALUE: Final = 1024
MAX_HEADER: Final = 8192
MAX_UNIQUE_KEY: Final = 512
MAX_EXTENSIONS: Final = 64 * 1024
MAX_RETRY_ON: Final = 100
MAX_USES: Final = 8
LEAST_CPU: Final = 0.01


class Wrong(ValueError):
    """What is wrong with a value, with the `rule` that says so in one word and its parameters."""

    def __init__(self, problem: str, rule: str, **params: Any) -> None:
        self.rule = rule
        self.params = params
        super().__init__(problem)


def integer(least: int, most: int) -> Callable[[Any], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {kind_of(value)}")  # noqa: TRY004 - one kind of error for all readers
        if value < least:
            raise Wrong(f"must be at least {least}", "too_small", min=least)
        if value > most:
            raise Wrong(f"must be at most {most}", "too_large", max=most)
        return value

    return read


priority: Final = integer(*PRIORITY_RANGE)
version: Final = integer(0, 2**32 - 1)
retries: Final = integer(0, MAX_RETRIES)
max_crashes: Final = integer(0, MAX_RETRIES)


max_running: Final = integer(0, MOST)


def rate(value: Any) -> str:
    """A rate like `100/m`, in its normal form."""
    return rate_text(read_rate(value))


def declared_limits(value: Any) -> tuple[Limit, ...]:
    """The limits that a function declares."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, Limit) for each in value):
        raise ValueError('must be a list like [Limit(key="{tenant}", max_running=3)]')
    if len(value) > MOST_LIMITS:
        raise Wrong(f"must have at most {MOST_LIMITS} items", "too_large", max=MOST_LIMITS)
    return tuple(value)


def limits(value: Any) -> tuple[str, ...]:
    """The limits that a task names: `key`, `name` or `name/key`."""
    if not isinstance(value, list | tuple):
        raise ValueError(f'must be a list like ["acme"], not {kind_of(value)}')  # noqa: TRY004 - as above
    if len(value) > MOST_LIMITS:
        raise Wrong(f"must have at most {MOST_LIMITS} items", "too_large", max=MOST_LIMITS)
    return tuple([check_key(each) for each in value])


def name(value: Any) -> str:
    """A function's or a queue's name: 1 to 255 characters, printable, no space at its ends."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}")  # noqa: TRY004 - one kind of error for all readers
    if not 0 < len(value) <= MAX_NAME or not value.isprintable() or value != value.strip():
        raise ValueError(f"must be 1 to {MAX_NAME} printable characters")
    return value


def task_id(value: Any) -> str:
    """A task id chosen by the client."""
    return check_id(value)


def duration(value: Any) -> int:
    """A duration in microseconds."""
    if not isinstance(value, str | int | float | timedelta):
        raise ValueError(f"must be seconds or text like 30s, not {kind_of(value)}")  # noqa: TRY004 - as above
    return parse_duration(value)


def timeout(value: Any) -> int | None:
    """A time-out above 0 in microseconds; None = none."""
    if value is None:
        return None
    micros = duration(value)
    if micros <= 0:
        raise Wrong("must be above 0 (null = no time-out)", "too_small")
    return micros


def timeout_ms(value: Any) -> int | None:
    """A time-out as whole milliseconds, or None."""
    return None if value is None else integer(1, 10**12)(value) * 1000


def moment(value: Any) -> int:
    """A moment in microseconds since the epoch."""
    if not isinstance(value, str | int | float | datetime):
        raise ValueError(f'must be text like "2026-11-22T02:00:00Z", not {kind_of(value)}')  # noqa: TRY004 - as above
    return parse_moment(value)


def backoff(value: Any) -> Backoff:
    """A backoff policy: an object with `kind`, a kind's name, seconds (fixed), or a policy value."""
    if isinstance(value, Fixed | Linear | Exponential):
        check_backoff(value)
        return value
    if isinstance(value, str) and value in ("fixed", "linear", "exponential"):
        return backoff_from_dict({"kind": value})
    if isinstance(value, str | int | float | timedelta) and not isinstance(value, bool):
        return Fixed(parse_duration(value) / 1_000_000)
    if not isinstance(value, Mapping):
        raise ValueError(f'must be an object like {{"kind": "exponential"}}, not {kind_of(value)}')  # noqa: TRY004
    fields = {key: _seconds(each) if key in _SECONDS else each for key, each in value.items()}
    return backoff_from_dict(fields)


_SECONDS: Final = frozenset({"base", "cap", "delay", "step"})


def _seconds(value: Any) -> Any:
    return parse_duration(value) / 1_000_000 if isinstance(value, str | timedelta) else value


def retry_on(value: Any) -> tuple[str, ...]:
    """Names of exception types (or the types themselves)."""
    if isinstance(value, str | type) or not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("must be a list of names of exception types")  # noqa: TRY004 - as above
    if len(value) > MAX_RETRY_ON:
        raise Wrong(f"must have at most {MAX_RETRY_ON} items", "too_large", max=MAX_RETRY_ON)
    return tuple(name(type_name(each)) for each in value)


def uses(value: Any) -> tuple[str, ...]:
    """A downstream, or several: names of breakers."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        raise ValueError("must be the name of a downstream, or a list of such names")
    if len(found) > MAX_USES:
        raise Wrong(f"must have at most {MAX_USES} items", "too_large", max=MAX_USES)
    return tuple(dict.fromkeys(check_name(each) for each in found))


def latency(value: Any) -> int:
    """A duration in microseconds, of more than nothing."""
    micros = duration(value)
    if micros <= 0:
        raise Wrong("must be more than 0", "too_small")
    return micros


def type_name(kind: Any) -> Any:
    """Return the name under which an exception type is stored; anything else as it is."""
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    return kind


def unique(value: Any) -> Unique:
    """A unique key: text, or an object with `key`, `scope` and `on_conflict`."""
    if isinstance(value, Unique):
        value = {"key": value.key, "scope": value.scope, "on_conflict": value.on_conflict}
    elif isinstance(value, str):
        value = {"key": value}
    if not isinstance(value, Mapping):
        raise ValueError(f'must be an object like {{"key": "report:42"}}, not {kind_of(value)}')  # noqa: TRY004 - as above
    for key in value:
        if key not in ("key", "scope", "on_conflict"):
            raise ValueError(f"takes key, scope and on_conflict; not {key!r}")
    if not isinstance(key := value.get("key"), str) or not 0 < len(key) <= MAX_UNIQUE_KEY:
        raise ValueError(f"needs a key of 1 to {MAX_UNIQUE_KEY} characters")
    _check_text(key)
    scope, on_conflict = value.get("scope", "live"), value.get("on_conflict", "return")
    if scope not in ("live", "retained"):
        raise ValueError("scope must be live or retained")
    if on_conflict not in ("return", "reject"):
        raise ValueError("on_conflict must be return or reject")
    return Unique(key, scope, on_conflict)


def pairs(longest: int) -> Callable[[Any], dict[str, str]]:
    """Return a reader of at most 64 pairs of text to text of at most `longest` characters."""

    def read(value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be an object of text to text, not {kind_of(value)}")  # noqa: TRY004 - as above
        if len(value) > MAX_PAIRS:
            raise Wrong(f"must have at most {MAX_PAIRS} entries", "too_large", max=MAX_PAIRS)
        for key, each in value.items():
            if not isinstance(key, str) or not 0 < len(key) <= MAX_NAME:
                raise ValueError(f"each name must be 1 to {MAX_NAME} characters")
            if not isinstance(each, str) or len(each) > longest:
                raise ValueError(f"{key} must be text of at most {longest} characters, not {kind_of(each)}")
            _check_text(key)
            _check_text(each)
        return dict(value)

    return read


labels: Final = pairs(MAX_VALUE)
requires: Final = read_labels
headers: Final = pairs(MAX_HEADER)


def extensions(value: Any) -> dict[str, Any]:
    """Free JSON under text keys."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be an object, not {kind_of(value)}")  # noqa: TRY004 - as above
    made = dict(value)
    try:
        size = len(strict_json.dumps(made))
    except InvalidValue as error:
        raise ValueError(f"{error.field} {error.problem}") from None
    if size > MAX_EXTENSIONS:
        raise Wrong(f"must take at most {MAX_EXTENSIONS} bytes of JSON", "too_large", max=MAX_EXTENSIONS)
    return made


def command(value: Any) -> str:
    """A command line as one text; what is allowed is seen at submit."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}")  # noqa: TRY004 - one kind of error for all readers
    return value


def resources(value: Any) -> dict[str, float]:
    """What a task needs of a machine: `cpu`, a number of CPUs, and `memory`, bytes or text like 4GB; {} is nothing.

    Raises `InvalidValue` for the member that is wrong.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f'must be an object like {{"cpu": 2, "memory": "4GB"}}, not {kind_of(value)}')  # noqa: TRY004
    readers = {"cpu": _cpu, "memory": _memory}
    made: dict[str, float] = {}
    for key, each in value.items():
        if key not in readers:
            at = strict_json.pointer("/resources", str(key))
            raise InvalidValue(at, "unknown field", hint="cpu and memory", rule="unknown_field")
        if each is not None:
            made[key] = readers[key](each)
    return made


def _cpu(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue("/resources/cpu", f"must be a number of CPUs, not {kind_of(value)}", rule="type")
    if not LEAST_CPU <= value <= MOST_CPUS:
        problem = f"must be from {LEAST_CPU} to {MOST_CPUS} CPUs"
        raise InvalidValue("/resources/cpu", problem, rule="out_of_range", min=LEAST_CPU, max=MOST_CPUS)
    return float(value)


def _memory(value: Any) -> int:
    try:
        size = parse_size(value)
    except ValueError as error:
        raise InvalidValue("/resources/memory", str(error)) from None
    if size < LEAST_MEMORY:
        raise InvalidValue("/resources/memory", "must be at least 16MiB", rule="too_small", min=LEAST_MEMORY)
    return size


def near(word: str, known: Collection[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    return next(iter(get_close_matches(word, sorted(known), n=1)), None)


def kind_of(value: Any) -> str:
    """Return what JSON calls the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return type(value).__qualname__


def _check_text(text: str) -> None:
    try:
        strict_json.check(text)
    except InvalidValue as error:
        raise ValueError(error.problem) from None
