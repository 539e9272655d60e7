"""Who this process is: its host, its pid with the time it started, and whether another process still lives."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from angelica.clock import boot_id


def host_name() -> str:
    """Return the name of this host."""
    return platform.node() or "localhost"


def here() -> str:
    """Return where a pid of this process means something: this boot of the kernel, and this namespace of pids.

    Two containers of one host may bear its name, and two hosts the same name.
    """
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{boot_id()} {space}".strip()


def pid_started(pid: int) -> int:
    """Return when a process started, in the kernel's clock ticks since boot; 0 where that cannot be read.

    Together with the pid it names a process: a pid alone is reused.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return 0
    # The second field is the command in parentheses and may hold spaces; starttime is the 22nd field.
    fields = stat.rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0  # noqa: PLR2004 - field numbers of proc(5)


def lives(pid: int, started: int) -> bool:
    """Return whether the process `pid` that started at `started` is still there (a zombie is not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process; without /proc that is all we can know
    if started and pid_started(pid) != started:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]
