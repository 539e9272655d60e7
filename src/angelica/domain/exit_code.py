"""Exit codes of commands: how an error tells of one in words, and how it is read from there again."""

from __future__ import annotations

import re
import signal
from typing import Final

from angelica.domain import reasons
from angelica.domain.task import TaskError

_CODE: Final = re.compile(r"ended with exit code (\d{1,3})")
_SIGNAL: Final = re.compile(r"was ended by signal (\d{1,2})\b")


def exited_text(code: int | None) -> str:
    """Return what an error says of a command that ended with an exit code."""
    return f"ended with exit code {code}"


def signalled_text(number: int | None) -> str:
    """Return what an error says of a command that was ended by a signal."""
    try:
        return f"was ended by signal {number} ({signal.Signals(number or 0).name})"
    except ValueError:
        return f"was ended by signal {number}"


def exit_code_of(error: TaskError | None) -> tuple[int | None, int | None]:
    """Return the exit code and the signal that an error tells of, None for what it does not."""
    if error is None or error.reason != reasons.EXIT_CODE:
        return None, None
    code, number = _CODE.fullmatch(error.message), _SIGNAL.match(error.message)
    return int(code[1]) if code else None, int(number[1]) if number else None
