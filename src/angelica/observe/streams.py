"""The stand-ins for `sys.stdout` and `sys.stderr` that also record what a task prints."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Final, TextIO

from angelica.current import CURRENT

_LOGGING: Final = vars(logging)


class Busy(threading.local):
    """Whether this thread is recording right now: what is written meanwhile, by the sink itself, is not recorded."""

    here = False


BUSY: Final = Busy()


class StreamTap:
    """Writes to `target`; inside a task also to the task's log, as `stream`.

    With `passthrough` False, what a task prints goes to its log alone. Bytes written to `.buffer` are not recorded.
    A switched-off tap (`active` False) only writes: handlers that hold it may go on. `captured` says whether a log
    record reaches the task's log by itself; what a logging handler prints of such a record is not recorded again.
    """

    def __init__(
        self,
        target: TextIO,
        stream: str,
        *,
        passthrough: bool,
        captured: Callable[[logging.LogRecord], bool],
    ) -> None:
        self.target = target
        self.active = True
        self._stream = stream
        self._passthrough = passthrough
        self._captured = captured
        self._write = target.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def write(self, text: str) -> int:
        """Write `text`; return its length."""
        running = CURRENT.get()
        if running is None or not self.active or BUSY.here or not isinstance(text, str):
            return self._write(text)
        if (record := _logged(sys._getframe(1))) is not None:  # noqa: SLF001 - the only way to see who writes
            if not self._captured(record):
                self._record(text)
            return self._pass_on(text)
        self._record(text)
        return self._pass_on(text) if self._passthrough else len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def _pass_on(self, text: str) -> int:
        BUSY.here = True  # the target may write to an older tap, which has nothing to add
        try:
            return self._write(text)
        finally:
            BUSY.here = False

    def _record(self, text: str) -> None:
        running = CURRENT.get()
        if running is None:
            return
        BUSY.here = True
        try:
            running.sink.feed(running, self._stream, text)
        except Exception:  # noqa: BLE001, S110 - a print must never fail for the sake of the log
            pass
        finally:
            BUSY.here = False


def _logged(frame: FrameType) -> logging.LogRecord | None:
    """Return the record if the frame that writes is a handler of `logging`, else None."""
    if frame.f_globals is not _LOGGING:
        return None
    record = frame.f_locals.get("record")
    return record if isinstance(record, logging.LogRecord) else None
