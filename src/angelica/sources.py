"""Sources: what files and environment variables say of the settings, by key and with where it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from angelica.errors import InvalidValue
from angelica.options import Option

PREFIX: Final = "ANGELICA_"
FILE: Final = "angelica.toml"
PROJECT_FILE: Final = "pyproject.toml"

_WORKER: Final = "worker"

Options = Mapping[str, Option]


def check_known(key: str, origin: str, options: Options) -> None:
    """Raise `InvalidValue` for a key that is no setting."""
    if key not in options:
        near = get_close_matches(key, options, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(options)}"
        raise InvalidValue(f"/{key}", f"there is no such setting (from {origin})", hint=hint, rule="unknown_field")


def check_keyword(key: str, origin: str, options: Options) -> None:
    """Raise `InvalidValue` for a key that is no setting, and for one that only a file can hold."""
    check_known(key, origin, options)
    if not options[key].keyword:
        raise InvalidValue(f"/{key}", f"cannot be set by a {origin}", hint=f"set it in {FILE}")


def from_environment(environ: Mapping[str, str], options: Options) -> Iterator[tuple[str, Any, str]]:
    """Yield what `ANGELICA_*` says. An empty variable counts as unset.

    A variable that is no setting may belong to somebody else (the command line's token, what Kubernetes makes for a
    Service): only one that looks like a slip of the pen is refused.
    """
    for variable in sorted(environ):
        key = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or not environ[variable].strip():
            continue
        origin = f"environment variable {variable}"
        if key in options:
            if not options[key].env:
                raise InvalidValue(f"/{key}", f"cannot be set by an {origin}", hint=f"set it in {FILE}")
            yield key, environ[variable], origin
        elif get_close_matches(key, options, n=1, cutoff=0.74):
            check_known(key, origin, options)


def from_file(directory: Path, options: Options) -> Iterator[tuple[str, Any, str]]:
    """Yield what the file says: `angelica.toml` if it is there, else `[tool.angelica]` of `pyproject.toml`.

    The keys of a table `[worker]` are those that begin with `worker_`.
    """
    path = directory / FILE
    if path.is_file():
        table, origin = _toml(path), FILE
    else:
        path = directory / PROJECT_FILE
        tools = _toml(path).get("tool", {}) if path.is_file() else {}
        table, origin = tools.get("angelica", {}), f"[tool.angelica] in {PROJECT_FILE}"
    inner = table.pop(_WORKER, {})
    if not isinstance(inner, Mapping):
        raise InvalidValue(f"/{_WORKER}", f"is no table (from {origin})", hint="[worker], with cpu and memory")
    for key, value in [*table.items(), *((f"{_WORKER}_{key}", value) for key, value in inner.items())]:
        check_known(key, origin, options)
        yield key, value, origin


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidValue(f"/{path.name}", f"cannot be read: {error}", hint="a TOML file in UTF-8") from None
