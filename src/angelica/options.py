"""Options: how the value of a setting is read from what a user wrote, be it Python, TOML or an environment variable."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from angelica.clock import SECOND
from angelica.domain.command import AllowList
from angelica.domain.labels import read_labels
from angelica.domain.retry import PROFILES, Profile
from angelica.durations import parse_duration, parse_size
from angelica.errors import InvalidValue

Read = Callable[[Any], Any]
"""Takes what was written, returns the value; raises `ValueError` whose text says what would be right."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_MAX_TIMEOUT: Final = 366 * 86_400.0
_MAX_RETRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: how it is read, what it says in the reference, and whether a variable or a keyword can hold it."""

    read: Read
    doc: str
    shown: str
    env: bool = True
    keyword: bool = True


def option(default: Any, read: Read, doc: str, *, shown: str = "", env: bool = True, keyword: bool = True) -> Any:
    """Return the dataclass field of a setting; `shown` is the default as the reference prints it."""
    described = {"option": Option(read, doc, shown or str(default), env, keyword)}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=described)
    return field(default=default, metadata=described)


def optional(read: Read) -> Read:
    """Also let the word `none` stand for None."""

    def read_optional(value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().lower() == "none" else read(value)

    return read_optional


def text(value: Any) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value.strip()


def texts(value: Any) -> tuple[str, ...]:
    """Read a list of texts, or one text with commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not all(isinstance(item, str) and item.strip() for item in items):
        raise ValueError('a list of texts, such as ["mail", "etl"] (in an environment variable: mail,etl)')
    return tuple(dict.fromkeys(item.strip() for item in items))


def labels(value: Any) -> Mapping[str, str]:
    """Read labels: a table of texts, or one text such as `gpu=true,zone=a`."""
    form = 'labels, such as {"gpu": "true"} (in one text: gpu=true,zone=a)'
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",")]
        if any(not separator for _, separator, _ in pairs):
            raise ValueError(form)
        value = {name.strip(): each.strip() for name, _, each in pairs}
    try:
        return read_labels(value)
    except ValueError as error:
        raise ValueError(f"{form}: {error}") from None


def choice(*words: str) -> Read:
    """Read one of a few words."""

    def read_choice(value: Any) -> str:
        if isinstance(value, str) and value.strip().lower() in words:
            return value.strip().lower()
        raise ValueError(f"one of {', '.join(words)}")

    return read_choice


def flag(value: Any) -> bool:
    """Read yes or no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    raise ValueError("true or false")


def switch(value: Any) -> str:
    """Read `on` or `off` (TOML's and Python's true and false too)."""
    try:
        return "on" if flag(value) else "off"
    except ValueError:
        raise ValueError("on or off") from None


def whole(low: int, high: int) -> Read:
    """Read a whole number from `low` to `high`."""

    def read_whole(value: Any) -> int:
        problem = f"a whole number from {low} to {high}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(problem)  # noqa: TRY004 - readers refuse with ValueError only
        try:
            number = int(value)
        except ValueError:
            raise ValueError(problem) from None
        if not low <= number <= high:
            raise ValueError(problem)
        return number

    return read_whole


def number(low: float, high: float) -> Read:
    """Read a number from `low` to `high`."""

    def read_number(value: Any) -> float:
        problem = f"a number from {low:g} to {high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(problem)  # noqa: TRY004 - readers refuse with ValueError only
        try:
            found = float(value)
        except ValueError:
            raise ValueError(problem) from None
        if not low <= found <= high:
            raise ValueError(problem)
        return found

    return read_number


def port(value: Any) -> int:
    """Read a port number."""
    if isinstance(value, str) and value.startswith("tcp://"):
        # Kubernetes sets ANGELICA_PORT=tcp://… for a Service that is called `angelica`.
        raise ValueError("a port number; Kubernetes made this one for a Service: set `enableServiceLinks: false`")
    return int(whole(0, 65_535)(value))


def status(value: Any) -> int:
    """Read the status of a refused request."""
    if str(value).strip() not in ("400", "422"):
        raise ValueError("422 or 400")
    return int(value)


def duration(low: int, high: int) -> Read:
    """Read a duration of `low` to `high` microseconds: a number of seconds, `30s`, `1h30m`, `PT5M`."""

    def read_duration(value: Any) -> int:
        problem = f"a duration from {_seconds(low)} to {_seconds(high)}, such as 30s, 1h30m or a number of seconds"
        try:
            micros = parse_duration(value)
        except (InvalidValue, ValueError, TypeError):
            raise ValueError(problem) from None
        if not low <= micros <= high:
            raise ValueError(problem)
        return micros

    return read_duration


def size(low: int, high: int) -> Read:
    """Read a number of bytes from `low` to `high`: a number, `64KiB`, `10MiB`."""

    def read_size(value: Any) -> int:
        problem = f"a size from {low} to {high} bytes, such as 64KiB or 10MiB"
        try:
            number = parse_size(value)
        except (InvalidValue, ValueError, TypeError):
            raise ValueError(problem) from None
        if not low <= number <= high:
            raise ValueError(problem)
        return number

    return read_size


def commands(value: Any) -> AllowList:
    """Take an allow-list: its tables have been read where they stand."""
    if not isinstance(value, AllowList):
        raise ValueError("tables [commands.NAME] of the configuration file")  # noqa: TRY004 - as above
    return value


def profiles(value: Any) -> Mapping[str, Profile]:
    """Read named pairs of `timeout` and `retries`, added to the built-in profiles or in place of one."""
    if not isinstance(value, Mapping):
        raise ValueError('a table of profiles, such as {"slow": {"timeout": "10m", "retries": 1}}')  # noqa: TRY004
    made = dict(PROFILES)
    for name, form in value.items():
        made[str(name)] = form if isinstance(form, Profile) else _profile(str(name), form)
    return made


def _profile(name: str, form: Any) -> Profile:
    problem = f'{{"timeout": "10m", "retries": 1}} for the profile {name!r}'
    if not isinstance(form, Mapping) or set(form) != {"timeout", "retries"}:
        raise ValueError(problem)
    try:
        timeout = duration(1, int(_MAX_TIMEOUT * SECOND))(form["timeout"]) / SECOND
        retries = whole(0, _MAX_RETRIES)(form["retries"])
    except ValueError as error:
        raise ValueError(f"{problem}; there, {error} was expected") from None
    return Profile(timeout=timeout, retries=retries)


def _seconds(micros: int) -> str:
    return f"{micros / SECOND:g}s"


def toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says; raises `InvalidValue` for one that cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidValue(f"/{path.name}", f"cannot be read: {error}", hint="a TOML file in UTF-8") from None
