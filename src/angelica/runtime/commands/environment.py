"""The environment of a command: a fixed set, and what its configuration lets through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from angelica.clock import SECOND
from angelica.domain.command import Command

FIXED: Final[Mapping[str, str]] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def environment(
    command: Command, environ: Mapping[str, str], *, task_id: str, attempt: int, queue: str, deadline: int | None
) -> dict[str, str]:
    """Return the variables of a command; HOME, TMPDIR and TASK_RUN are added where it is started.

    `environ` is the worker's own environment, of which only the command's `env` list passes. `deadline` is
    microseconds since the epoch; TASK_DEADLINE is seconds.
    """
    passed = {name: environ[name] for name in command.env if name in environ}
    task = {"TASK_ID": task_id, "TASK_ATTEMPT": str(attempt), "TASK_QUEUE": queue, "TASK_COMMAND": command.name}
    if deadline is not None:
        task["TASK_DEADLINE"] = f"{deadline / SECOND:.3f}"
    return {**passed, **FIXED, **task}
