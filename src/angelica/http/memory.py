"""Memory: what this process and this machine use, read from /proc."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

_KIB: Final = 1024


def process_memory(proc: Path = Path("/proc")) -> int:
    """Return the resident memory of this process in bytes (where there is no /proc: its peak)."""
    try:
        pages = int((proc / "self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * _KIB
    return pages * resource.getpagesize()


def machine_memory(proc: Path = Path("/proc")) -> float | None:
    """Return the part of the machine's memory that is in use, in per cent; None where that is not known."""
    try:
        lines = (proc / "meminfo").read_text("ascii").splitlines()
        sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest}
        total, free = sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return round(100 * (total - free) / total, 1) if total else None
