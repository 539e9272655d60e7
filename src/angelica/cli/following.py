"""Following a task: its log as it comes, and its end as an exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from angelica.cli.failure import FAILED, OK, TIMED_OUT
from angelica.cli.target import LONGEST_WAIT, Target
from angelica.clock import SECOND, tick_micros
from angelica.plain import plain

ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
PAGE: Final = 1000
BEAT: Final = 0.3
"""Seconds between looks at a log that is being followed."""


def log_line(line: Mapping[str, Any], *, wide: bool = False) -> str:
    """Return a log line for eyes: what was printed as it stands, what was logged with its level."""
    message = plain(str(line["message"]))
    if wide:
        return f"{line['time']} {line['attempt']} {line['stream']:<6} {line['level']:<7} {line['logger']} {message}"
    return message if line["stream"] in ("stdout", "stderr") else f"{line['level']:<7} {message}"


async def print_log(
    target: Target, task_id: str, after: str | None, show: Callable[[Mapping[str, Any]], None]
) -> str | None:
    """Show all lines after a cursor and return the cursor of the last."""
    while True:
        lines = await target.logs(task_id, after=after, limit=PAGE)
        for line in lines:
            show(line)
            after = line["cursor"]
        if len(lines) < PAGE:
            return after


async def follow(target: Target, task_id: str, show: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Show the log of a task as it comes until the task has ended; return the task."""
    after: str | None = None
    task = await target.get(task_id)
    while True:
        # The state is read before the lines: when it says "ended", the lines that follow are all of them.
        ended = task["status"] in ENDED
        after = await print_log(target, task_id, after, show)
        if ended:
            return task
        task = await target.get(task_id, wait=BEAT)


async def wait(target: Target, task_id: str, seconds: float | None) -> dict[str, Any]:
    """Wait for the end of a task, at most `seconds`; return it as it stands then."""
    ends_at = None if seconds is None else tick_micros() + int(seconds * SECOND)
    while True:
        left = LONGEST_WAIT if ends_at is None else (ends_at - tick_micros()) / SECOND
        task = await target.get(task_id, wait=max(min(left, LONGEST_WAIT), 0.0))
        if task["status"] in ENDED or (ends_at is not None and tick_micros() >= ends_at):
            return task


def code_of(task: Mapping[str, Any]) -> int:
    """Return the exit code that stands for a task: 0 succeeded, 1 ended otherwise, 75 not ended."""
    if task["status"] not in ENDED:
        return TIMED_OUT
    return OK if task["status"] == "SUCCEEDED" else FAILED


def show_error(task: Mapping[str, Any]) -> None:
    """Say on stderr how a task ended, if not well."""
    if task["status"] == "SUCCEEDED":
        return
    error = task.get("error") or {}
    words = ": ".join(part for part in (error.get("type") or error.get("reason"), error.get("message")) if part)
    click.echo(f"{task['task_id']} {task['status']}{': ' if words else ''}{plain(words)}", err=True)
