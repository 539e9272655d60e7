"""What a task shows if it is a command: its command line, and how the command has ended."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from angelica.domain.exit_code import exit_code_of
from angelica.domain.task import Task
from angelica.domain.usage import Usage

KIND: Final = "command"


class OutputView(msgspec.Struct, gc=False):
    """How a command ended: with an exit code, or by a signal."""

    exit_code: int | None
    signal: int | None = None


class UsageView(msgspec.Struct, gc=False):
    """What the last attempt took: CPU seconds, and the peak of memory in bytes with where the figure comes from."""

    cpu_seconds: float
    peak_memory: int | None
    source: str


def usage_view(usage: Usage | None) -> UsageView | None:
    """Return the view of what an attempt took."""
    return None if usage is None else UsageView(round(usage.cpu_seconds, 3), usage.peak_memory, usage.source)


def command_text(task: Task) -> str | None:
    """Return the command line as it was submitted, None of a row that is not of our making."""
    text = _member(task.spec.payload, "text")
    return text if isinstance(text, str) else None


def output_view(task: Task) -> OutputView | None:
    """Return how the command of a task ended, None while it has not or where it was never run."""
    if task.result is not None:
        code = _member(task.result, "exit_code")
        return OutputView(code) if isinstance(code, int) else None
    code, number = exit_code_of(task.error)
    return None if code is None and number is None else OutputView(code, number)


def _member(text: str, name: str) -> Any:
    try:
        form = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return form.get(name) if isinstance(form, dict) else None
