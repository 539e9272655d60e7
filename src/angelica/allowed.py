"""Allowed commands: the `[commands.NAME]` tables with what this machine has, and the open list of development."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from angelica.domain.command import AllowList, OpenList
from angelica.domain.command_config import read_commands

OURS: Final = "{python}"
"""Stands for the interpreter that runs us, as a `program`."""

_NOBODY: Final = "nobody"
_OTHERS_MAY_RUN: Final = 0o001


def read_allowed(tables: Any, directory: Path, origin: str) -> AllowList:
    """Return the allow-list of the `commands` table of a file in `directory`; raises `InvalidValue`.

    Where `program` is a list, the first one is taken that this machine has, and that others may run if we are root.
    """
    made = tables
    if isinstance(tables, Mapping):
        made = {name: _with_program(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    return read_commands(made, directory=str(directory.absolute()), origin=origin)


def open_list(configured: AllowList) -> OpenList:
    """Return the list for `angelica dev --allow-commands`: all programs of PATH, beside what the file has.

    As root they run as `nobody`: there is nothing that would bound what root can do.
    """
    return OpenList(configured.commands.values(), find_program, run_as=_NOBODY if os.geteuid() == 0 else None)


def find_program(word: str) -> str | None:
    """Return the absolute path of a program of PATH by its name (or by just that path), None if there is none."""
    name = Path(word).name
    for part in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(part, name)  # noqa: PTH118 - as it was given: a Path would take parts of it away
        if name and os.path.isabs(part) and word in (name, path) and usable(path):  # noqa: PTH117 - as above
            return path
    return None


def usable(path: str) -> bool:
    """Whether a command can run this program: as root it runs as somebody else, who has to get there."""
    if not os.access(path, os.X_OK) or not Path(path).is_file():
        return False
    if os.geteuid() != 0:
        return True
    real = Path(path).resolve()
    places = {*Path(path).parents, real, *real.parents}
    return all(place.stat().st_mode & _OTHERS_MAY_RUN for place in places)


def _with_program(table: Mapping[str, Any]) -> Mapping[str, Any]:
    given = table.get("program")
    words: list[Any] = given if isinstance(given, list) else [given]
    if not words or not all(isinstance(word, str) for word in words):
        return table  # refused with all that is wrong by who reads it
    paths = [path for word in words for path in _paths(word)]
    refused = [path for path in paths if not path.startswith("/")]
    return {**table, "program": next((path for path in paths if usable(path)), paths[0]) if not refused else refused[0]}


def _paths(word: str) -> Iterator[str]:
    if word == OURS:
        yield sys.executable
        yield str(Path(sys.executable).resolve())  # outside of its virtual environment, where others may get
    else:
        yield word
