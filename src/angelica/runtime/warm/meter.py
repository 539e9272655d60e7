"""The meter: CPU time and peak memory of one attempt, measured inside the process that runs it."""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

from angelica.domain.usage import Usage

_RESET_PEAK: Final = b"5"
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class Meter:
    """Reads what this process has used; `begin` before an attempt, `end` after it.

    The kernel's high-water mark is set back before each attempt, so the peak is that of the attempt. Where that
    cannot be done, it is that of the process so far, and the source says so.
    """

    def __init__(self) -> None:
        self.rss = 0
        self._cpu = 0.0
        self._reset = _opened("/proc/self/clear_refs", os.O_WRONLY)
        self._status = _opened("/proc/self/status", os.O_RDONLY)

    def begin(self) -> float:
        """Set the marks; return the CPU seconds used so far."""
        if self._reset is not None:
            try:
                os.pwrite(self._reset, _RESET_PEAK, 0)
            except OSError:  # a kernel without it: what follows would be the peak of all attempts
                os.close(self._reset)
                self._reset = None
        self._cpu = cpu_seconds()
        return self._cpu

    def end(self) -> Usage:
        """Return what was used since `begin`; `rss` is then the resident memory (bytes) of now."""
        cpu = max(cpu_seconds() - self._cpu, 0.0)
        if self._status is not None:
            try:
                text = os.pread(self._status, 4096, 0)
                self.rss = _kib(text, b"VmRSS:")
                if self._reset is not None:
                    return Usage(cpu, _kib(text, b"VmHWM:"), "vmhwm")
            except (OSError, ValueError):
                pass
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        self.rss = self.rss or peak
        return Usage(cpu, peak, "maxrss")


def cpu_seconds() -> float:
    """Return the user and system time of this process and of its children that were waited for."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    kids = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + kids.ru_utime + kids.ru_stime


def usage_of_dead(rusage: resource.struct_rusage, cpu_before: float) -> Usage:
    """Return what `wait4` told of a process that died in an attempt."""
    cpu = max(rusage.ru_utime + rusage.ru_stime - cpu_before, 0.0)
    return Usage(cpu, rusage.ru_maxrss * _MAXRSS_UNIT or None, "wait4")


def _opened(path: str, flags: int) -> int | None:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return None


def _kib(text: bytes, name: bytes) -> int:
    """Return a field of /proc/self/status (given in KiB) in bytes."""
    _, _, rest = text.partition(name)
    return int(rest.split(None, 1)[0]) * 1024
