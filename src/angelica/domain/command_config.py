"""The `[commands.NAME]` tables of the configuration file, read into an allow-list or refused by key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any, Final

from angelica.domain.command import DEFAULT_PIDS, AllowList, Command, Limits
from angelica.domain.command_pattern import parse_pattern
from angelica.durations import parse_duration, parse_size
from angelica.errors import InvalidValue

LEAST_MEMORY: Final = 16 << 20
"""Bytes: with less, an interpreter dies before its first line, and the end says nothing."""

MOST_CPUS: Final = 1024
MOST_PIDS: Final = 32_768
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_OURS: Final = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "ENV", "IFS", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4"})
_LOADING: Final = (
    "LD_",
    "DYLD_",
    "PYTHON",
    "ANGELICA_",
    "TASK_",
    "PERL5",
    "RUBY",
    "NODE_OPTIONS",
    "GCONV_PATH",
    "JAVA_",
)


def read_commands(tables: Any, *, directory: str = "/", origin: str = "angelica.toml") -> AllowList:
    """Return the allow-list of the `commands` table of a configuration file.

    `directory` is where relative `files` are. Raises `InvalidValue` whose field is the key, as in
    `/commands/train/program`, and whose text says where it came from (`origin`).
    """
    if not isinstance(tables, Mapping):
        raise InvalidValue("/commands", f"is no table (from {origin})", hint="[commands.train]")
    commands = []
    for name, table in tables.items():
        at = f"/commands/{name}"
        if not _NAME.fullmatch(str(name)):
            raise InvalidValue(
                at, f"is no name for a command (from {origin})", hint="letters, digits, '_', '.' and '-'"
            )
        if not isinstance(table, Mapping):
            raise InvalidValue(at, f"is no table (from {origin})", hint=f"[commands.{name}]")
        commands.append(_command(str(name), table, at, directory, origin))
    return AllowList(commands)


def _command(name: str, table: Mapping[str, Any], at: str, directory: str, origin: str) -> Command:
    values: dict[str, Any] = {}
    for key, value in table.items():
        reader = _KEYS.get(key)
        if reader is None:
            near = get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(_KEYS)}"
            raise InvalidValue(f"{at}/{key}", f"there is no such key (from {origin})", hint=hint, rule="unknown_field")
        try:
            values[key] = reader(value, directory)
        except ValueError as error:
            raise InvalidValue(f"{at}/{key}", f"will not do (from {origin})", hint=str(error)) from None
    for key in ("pattern", "program"):
        if key not in values:
            raise InvalidValue(f"{at}/{key}", f"is missing (from {origin})", rule="missing")
    limits = Limits(**{key: values.pop(key) for key in ("memory", "cpu", "pids") if key in values})
    return Command(name, limits=limits, **values)


def _pattern(value: Any, _directory: str) -> str:
    text = _text(value)
    parse_pattern(text)
    return text


def _program(value: Any, _directory: str) -> str:
    text = _text(value)
    if not text.startswith("/") or ".." in PurePosixPath(text).parts:
        raise ValueError("the absolute path of an executable, such as /usr/bin/python3")
    return text


def _files(value: Any, directory: str) -> tuple[str, ...]:
    paths = [PurePosixPath(directory, text) for text in _texts(value)]
    if len({path.name for path in paths}) != len(paths):
        raise ValueError("files of different names: all of them are copied into one directory")
    if not all(path.name for path in paths):
        raise ValueError("paths of files")
    return tuple(str(path) for path in paths)


def _run_as(value: Any, _directory: str) -> str:
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise ValueError("the name of a user")
    if value == "root":
        raise ValueError("another user than root: no limit holds for root")
    return value


def _env(value: Any, _directory: str) -> tuple[str, ...]:
    names = _texts(value)
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"names of environment variables; {name!r} is none")
        upper = name.upper()
        if upper in _OURS or upper.startswith(_LOADING) or upper.endswith("_PROXY"):
            raise ValueError(f"no variable that is ours, a proxy's or that loads code; {name!r} is one")
    return names


def _timeout(value: Any, _directory: str) -> int:
    try:
        micros = parse_duration(value)
    except (InvalidValue, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None
    if micros == 0:
        raise ValueError("more than no time at all")
    return micros


def _memory(value: Any, _directory: str) -> int:
    try:
        size = parse_size(value)
    except (InvalidValue, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None
    if size < LEAST_MEMORY:
        raise ValueError("at least 16MiB: with less, no interpreter comes up")
    return size


def _cpu(value: Any, _directory: str) -> float:
    least = 0.01
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= MOST_CPUS:
        raise ValueError(f"a number of CPUs from {least} to {MOST_CPUS}")
    return float(value)


def _resources(value: Any, _directory: str) -> dict[str, float]:
    readers: dict[str, Callable[[Any, str], float]] = {"cpu": _cpu, "memory": _memory}
    if not isinstance(value, Mapping) or not value or not value.keys() <= readers.keys():
        raise ValueError('a table of cpu, memory or both, such as { cpu = 2, memory = "4GB" }')
    return {key: readers[key](each, _directory) for key, each in value.items()}


def _pids(value: Any, _directory: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PIDS:
        raise ValueError(f"a number of processes and threads from 1 to {MOST_PIDS} (default {DEFAULT_PIDS})")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of texts")  # noqa: TRY004 - readers refuse with ValueError only
    return tuple(dict.fromkeys(_text(item) for item in value))


_KEYS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "pattern": _pattern,
    "program": _program,
    "files": _files,
    "run_as": _run_as,
    "env": _env,
    "timeout": _timeout,
    "memory": _memory,
    "cpu": _cpu,
    "pids": _pids,
    "resources": _resources,
}
