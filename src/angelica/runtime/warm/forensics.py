"""Forensics: what is known of a child that died in an attempt, as the error of that attempt."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Final

from angelica.domain import reasons
from angelica.domain.task import TaskError
from angelica.domain.usage import Usage
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import MESSAGE_LIMIT, fingerprint
from angelica.runtime.settle import Death

LAST_LINES: Final = 5
_LINE_SHOWN: Final = 300
_MIB: Final = 1 << 20


def crash_error(
    assignment: Assignment, death: Death, usage: Usage | None, *, lines: Sequence[str], stack: str, why: str = ""
) -> TaskError:
    """Return the error: how the process died, its peak memory, the last `lines` it wrote, and the `stack` it left.

    `why` is the reason if it was the worker that killed it.
    """
    kind = "SegmentationFault" if death.signal == signal.SIGSEGV else "ProcessDied"
    words = f"its process (pid {death.pid}) {death.words()}"
    if why:
        words += f" ({why})"
    elif death.signal == signal.SIGKILL:
        words += " (by hand, or by the kernel for want of memory)"
    if usage is not None and usage.peak_memory:
        words += f"; its peak memory was at most {usage.peak_memory / _MIB:.0f} MiB"
    if lines:
        words += "; its last lines:\n" + "\n".join(line[:_LINE_SHOWN] for line in lines)
    return TaskError(
        reasons.CRASHED,
        type=kind,
        message=words[:MESSAGE_LIMIT],
        stack=stack,
        fingerprint=fingerprint(assignment.function, kind, str(death.signal or death.code)),
        attempt=assignment.attempt,
    )
