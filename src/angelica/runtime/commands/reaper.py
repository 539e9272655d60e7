"""The reaper of a keeper: buries every process of its command, and keeps what they took."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import Any

_KIB = 1024


class Reaper:
    """Reaps the children of this process, which is a subreaper: all that a command leaves behind comes to it.

    `wake` becomes readable when there may be something to reap. `cpu_seconds` and `peak_memory` (bytes) are the sum
    and the largest of what the kernel told at each death.
    """

    def __init__(self) -> None:
        self.main = 0
        self.main_status: int | None = None
        self.cpu_seconds = 0.0
        self.peak_memory = 0
        self._wakes, self._woken = socket.socketpair()
        for end in (self._wakes, self._woken):
            end.settimeout(0)
        self.wake = self._wakes.fileno()
        signal.signal(signal.SIGCHLD, _heard)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Be told of no death any more."""
        signal.set_wakeup_fd(-1)
        self._wakes.close()
        self._woken.close()

    @property
    def main_ended(self) -> bool:
        """Whether the command's first process has ended."""
        return self.main_status is not None

    def reap(self) -> bool:
        """Bury who has died; return whether nobody is left."""
        with suppress(BlockingIOError):
            self._wakes.recv(4096)
        while True:
            try:
                pid, status, taken = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            # What a process has waited for itself is in its own figures already.
            self.cpu_seconds += taken.ru_utime + taken.ru_stime
            self.peak_memory = max(self.peak_memory, taken.ru_maxrss * _KIB)
            if pid == self.main:
                self.main_status = status

    def signal_group(self, number: int) -> None:
        """Send a signal to the command's process group, as long as its leader has not been buried."""
        if self.main_status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.main, number)


def _heard(_number: int, _frame: Any) -> None:
    """Do nothing: what counts is that the wake-up descriptor was written."""
