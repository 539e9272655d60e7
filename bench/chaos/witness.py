"""The witness: what task bodies say about themselves, outside the engine, in a file that any kill leaves readable.

One line is one `write` of an `O_APPEND` descriptor, so lines of many processes never mix:

    start|end|refused  task id  attempt  pid  microseconds of the monotonic clock

`refused` is written by a worker whose late write the store refused (its attempt is 0: the event does not tell).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VARIABLE: Final = "CHAOS_WITNESS"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was seen."""

    event: str
    task_id: str
    attempt: int
    pid: int
    at: int


def moment() -> int:
    """Return microseconds of the clock that all processes of this machine share."""
    return time.monotonic_ns() // 1000


class Witness:
    """The writing side; one per process, opened at the first line."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def say(self, event: str, task_id: str, attempt: int) -> None:
        """Write one line."""
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(os.environ[VARIABLE], flags, 0o600)
        os.write(self._descriptor, f"{event} {task_id} {attempt} {os.getpid()} {moment()}\n".encode("ascii"))


def read_witness(path: Path) -> list[Line]:
    """Return all lines so far, in the order in which they were written."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text("ascii").splitlines():
        event, task_id, attempt, pid, at = text.split()
        lines.append(Line(event, task_id, int(attempt), int(pid), int(at)))
    return lines
