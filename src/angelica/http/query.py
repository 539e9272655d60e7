"""The query string: which keys a route knows, and their values as they should be."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from angelica.durations import parse_duration, parse_moment
from angelica.http.problems import HttpProblem, field_problem

MAX_KEYS: Final = 100
MAX_WAIT: Final = 60
_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Parameter:
    """One known query key. A name that ends in `.` stands for all keys that begin with it (`label.`).

    `read` turns the text into a value or raises `ValueError` saying what would be right; `many` may be repeated.
    """

    name: str
    text: str
    read: Callable[[str], Any] = str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    many: bool = False


class Query:
    """The values of one request, by name."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or `default` if the key was not given."""
        return self._values.get(name, default)

    def below(self, prefix: str) -> dict[str, Any]:
        """Return the values of all keys that begin with `prefix`, without it."""
        return {key[len(prefix) :]: value for key, value in self._values.items() if key.startswith(prefix)}


EMPTY: Final = Query({})


def read_query(raw: bytes, known: Sequence[Parameter]) -> Query:
    """Return the query; raises 400 `invalid-query` that names each key that is unknown, repeated or wrong."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_KEYS, errors="strict")
    except ValueError:  # not ASCII, not UTF-8, or too many keys
        raise HttpProblem("invalid-query", f"the query cannot be read (at most {MAX_KEYS} keys, UTF-8)") from None
    by_name = {parameter.name: parameter for parameter in known if not parameter.name.endswith(".")}
    prefixes = [parameter for parameter in known if parameter.name.endswith(".")]
    values: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for key, text in pairs:
        parameter = by_name.get(key) or next((p for p in prefixes if key.startswith(p.name) and key != p.name), None)
        if parameter is None:
            errors.append(_unknown(key, [parameter.name for parameter in known]))
            continue
        try:
            value = parameter.read(_clean(key, text))
        except ValueError as error:
            errors.append(field_problem(key, str(error), "invalid"))
            continue
        if parameter.many:
            values.setdefault(key, []).append(value)
        elif key in values:
            errors.append(field_problem(key, "is given twice", "repeated"))
        else:
            values[key] = value
    if errors:
        detail = "; ".join(f"{error['pointer'][:60]}: {error['message']}" for error in errors[:10])
        raise HttpProblem("invalid-query", detail, errors=errors)
    return Query(values)


def _clean(key: str, text: str) -> str:
    if "\x00" in text or "\x00" in key:
        raise ValueError("may not contain the NUL character")
    return text


def _unknown(key: str, known: Sequence[str]) -> dict[str, Any]:
    near = difflib.get_close_matches(key[:60], [name.rstrip(".") for name in known], 1)
    if near:
        return field_problem(key, f"unknown key (did you mean {near[0]}?)", "unknown_key", suggestion=near[0])
    return field_problem(key, "unknown key", "unknown_key", known=sorted(known))


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def flag(text: str) -> bool:
    """Read `true` or `false` (also `1`, `0`)."""
    match text.lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise ValueError("must be true or false")


def wait_seconds(text: str) -> float:
    """Read how long to wait: seconds or text like `30s`, at most 60 s."""
    micros = parse_duration(text)
    if micros > MAX_WAIT * 1_000_000:
        raise ValueError(f"must be at most {MAX_WAIT} seconds")
    return micros / 1_000_000


def words(text: str) -> tuple[str, ...]:
    """Read a list with commas."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found or len(found) > MAX_KEYS:
        raise ValueError(f"must be 1 to {MAX_KEYS} words with commas between them")
    return found


def moment(text: str) -> int:
    """Read an RFC 3339 moment; microseconds since the epoch."""
    # A `+` that nobody escaped has become a space in the query.
    return parse_moment(text.replace(" ", "+") if text[-6:-5] == " " else text)


WAIT: Final = Parameter(
    "wait", "Wait so many seconds for the end (at most 60).", wait_seconds, {"type": "string", "examples": ["30"]}
)
