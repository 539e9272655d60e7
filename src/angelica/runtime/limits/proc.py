"""What /proc says of processes: who descends from whom, who carries a mark, what they take; and how all of them end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from angelica.runtime.limits.files import read

_KIB = 1024
_MOST_PASSES = 50


def family(root: int) -> list[int]:
    """Return the pids of all descendants of `root`; zombies are none.

    Whoever calls this with itself as `root` and is a subreaper misses nobody: a process that leaves its parent, by
    whatever number of forks and sessions, becomes a child of the subreaper.
    """
    children: dict[int, list[int]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None and fields[0] not in ("Z", "X"):
            children.setdefault(int(fields[1]), []).append(pid)
    return _below(root, children)


def kill_family(root: int) -> int:
    """Kill all descendants of `root`; return how many there were.

    They are stopped first, in passes until no new one is found: a process that forks faster than it is killed would
    always leave a child behind.
    """
    stopped: set[int] = set()
    for _ in range(_MOST_PASSES):
        found = set(family(root)) - stopped
        if not found:
            break
        for pid in found:
            send(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        send(pid, signal.SIGKILL)
    return len(stopped)


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def marked(mark: str) -> list[int]:
    """Return the pids whose environment, as it was at their last exec, has the entry `mark` (`NAME=value`).

    The net for processes whose keeper is gone. One that has wiped its environment, or that we may not look into,
    is not found: a living keeper does not depend on this.
    """
    entry = mark.encode()
    found = []
    for pid in _pids():
        with suppress(OSError):
            if entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def resident(pids: Iterable[int]) -> int:
    """Return the bytes of memory that processes hold: anonymous and shared, without the pages of files."""
    total = 0
    for pid in pids:
        status = read(f"/proc/{pid}/status")
        total += sum(_number(status, name) for name in ("RssAnon", "RssShmem")) * _KIB
    return total


def threads_of(uid: int) -> int:
    """Return how many threads run as a user: what RLIMIT_NPROC counts."""
    count = 0
    for pid in _pids():
        with suppress(OSError):
            if Path(f"/proc/{pid}").stat().st_uid == uid:
                count += _number(read(f"/proc/{pid}/status"), "Threads")
    return count


def _below(root: int, children: dict[int, list[int]]) -> list[int]:
    found: list[int] = []
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            found.append(pid)
            waiting.append(pid)
    return found


def _pids() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; None if there is no such process."""
    # The name of the program may hold anything, ") " included: what counts comes after the last parenthesis.
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split() or None


def _number(status: str, name: str) -> int:
    _, found, rest = status.partition(f"\n{name}:")
    return int(rest.split(None, 1)[0]) if found else 0
