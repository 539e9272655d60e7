"""TOML written: schedules as tables, for files that people keep in Git."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class NoToml(ValueError):
    """A value that TOML cannot say, such as null inside of a list."""


def table(path: Sequence[str], members: Mapping[str, Any]) -> str:
    """Return a table with its members; nested objects of the first level become tables of their own."""
    head = f"[{'.'.join(map(_key, path))}]\n"
    plain = {name: value for name, value in members.items() if not isinstance(value, Mapping) and value is not None}
    nested = {name: value for name, value in members.items() if isinstance(value, Mapping)}
    text = head + "".join(f"{_key(name)} = {_value(value)}\n" for name, value in plain.items())
    return text + "".join(
        f"{_key(name)} = {_value(value)}\n" if _is_small(value) else "\n" + table([*path, name], value)
        for name, value in sorted(nested.items(), key=lambda item: not _is_small(item[1]))
    )


def _is_small(value: Mapping[str, Any]) -> bool:
    return len(value) <= 3 and not any(isinstance(each, Mapping | list) for each in value.values())  # noqa: PLR2004


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    # A JSON string is a basic string of TOML, but for DEL, which TOML wants written out.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case int():
            return str(value)
        case float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            inside = ", ".join(f"{_key(str(name))} = {_value(each)}" for name, each in value.items())
            return f"{{ {inside} }}" if inside else "{}"
    raise NoToml("null cannot be said in TOML")
