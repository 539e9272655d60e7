"""The declarations of one engine's code: its schedules, which code they are of, and how new that code is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from angelica.errors import InvalidValue
from angelica.runtime.functions import Function
from angelica.runtime.ownership import Declaration
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.schedule_drafts import read_schedule

_PACKAGE: Final = "angelica"


class Declarations:
    """What `@engine.schedule` and, before the engine is open, `function.schedule` have declared, by id."""

    def __init__(self, registry: FunctionRegistry, name: str) -> None:
        self._registry = registry
        self._name = name
        self._made: dict[str, Declaration] = {}

    def add(self, function: Function[..., Any], definition: Mapping[str, Any]) -> Declaration:
        """Declare a schedule of a function; without an id it gets the function's name.

        Raises `InvalidValue` or `InvalidRequest` for a bad definition or an id that is declared already.
        """
        schedule_id = definition.get("schedule_id") or function.name
        draft = read_schedule({**definition, "schedule_id": schedule_id, "name": function.name})
        if draft.id in self._made:
            hint = "give each schedule of a function an id of its own: id=…"
            problem = f"the schedule {draft.id!r} is declared twice"
            raise InvalidValue("/schedule_id", problem, hint=hint, rule="duplicate")
        made = Declaration(draft, self._source(function), _changed(_caller_file()))
        self._made[made.id] = made
        return made

    @property
    def sources(self) -> frozenset[str]:
        """The code that this process has loaded: only what that once declared can be gone from it."""
        return frozenset(self._source(function) for function in self._registry)

    @property
    def revision(self) -> int:
        """How new the code of this process is: when the newest file with a function or a schedule changed."""
        files = [_changed(_file_of(function.handler)) for function in self._registry]
        return max([*files, *(each.revision for each in self._made.values())], default=0)

    def __iter__(self) -> Iterator[Declaration]:
        return iter(list(self._made.values()))

    def __len__(self) -> int:
        return len(self._made)

    def _source(self, function: Function[..., Any]) -> str:
        """Return engine and top package: two applications that share a store do not take each other's for gone."""
        module = str(getattr(function.handler, "__module__", "") or "")
        return f"{self._name}/{module.partition('.')[0]}"


def _file_of(handler: Any) -> str:
    code = getattr(inspect.unwrap(handler), "__code__", None)
    return "" if code is None else str(code.co_filename)


def _caller_file() -> str:
    """Return the file that declares: the first one outside of this package."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_filename


def _changed(file: str) -> int:
    """Return when a file changed last (microseconds since the epoch), 0 where there is none, as in a REPL."""
    try:
        return Path(file).stat().st_mtime_ns // 1_000
    except OSError:
        return 0
