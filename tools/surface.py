"""Describe the public surface, one line for each name, method and signature: what users may rely on."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import angelica

MADE_BY_THE_ENGINE = {"Context", "Function", "ScheduleHandle", "TaskHandle"}  # their constructors are no promise
SNAPSHOT = Path(__file__).parent.parent / "tests" / "data" / "public_surface.txt"


def describe() -> str:
    """Return the surface as text."""
    lines = [line for name in angelica.__all__ for line in _lines(name, getattr(angelica, name))]
    return "\n".join([*lines, ""])


def _lines(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" + ("" if name in MADE_BY_THE_ENGINE else _signature(value))
        parts = [base for base in value.__mro__ if base is value or _is_part(base)]
        for key in sorted({key for part in parts for key in vars(part)}):
            if not key.startswith("_"):
                yield from _member(f"{name}.{key}", inspect.getattr_static(value, key))
    elif callable(value):
        yield f"def {name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _is_part(base: type) -> bool:
    """Whether a base is a piece of a public class that has no public name itself."""
    return base.__module__.startswith("angelica.") and base.__name__ not in angelica.__all__


def _member(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, property):
        yield f"  {path} -> {inspect.signature(value.fget).return_annotation if value.fget else '?'}"
    elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
        function = value if inspect.isfunction(value) else value.__func__
        kind = "async " if inspect.iscoroutinefunction(function) else ""
        yield f"  {kind}{path}{_signature(function)}"
    elif inspect.ismemberdescriptor(value) or not callable(value):
        yield f"  {path}"


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    return re.sub(r" at 0x[0-9a-f]+", "", str(signature)).replace("<factory>", "…")


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(describe(), "utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT}\n")
