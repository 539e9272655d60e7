"""The tree: finding and ending all that a warm child has started, daemons in sessions of their own among it."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "ANGELICA_CHILD"
"""The environment variable that a warm child and all it starts carry; its value names the child."""

ROUNDS: Final = 5
"""Looks for more, since a process may fork while its parent is being killed."""

_PROC: Final = Path("/proc")


def kill_tree(pid: int) -> None:
    """Kill the child `pid`, its group, and its descendants; orphans are among them, since it adopts them."""
    found = _descendants(pid)  # before it dies, and what is left goes to somebody else
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _kill(found)


def kill_rest(pid: int, mark: str) -> None:
    """Kill what the child `pid` has started, and carries its mark, but not itself.

    Looks at all processes, which takes some milliseconds on a host that has many: not for an event loop.
    """
    for _ in range(ROUNDS):
        found = _descendants(pid) | {each for each in _marked(mark) if each != pid}
        if not found:
            return
        _kill(found)


def _kill(pids: set[int]) -> None:
    for each in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)


def _descendants(pid: int) -> set[int]:
    """Return the living processes below `pid`."""
    found: set[int] = set()
    below = [pid]
    try:
        while below:  # parentage has no rings
            kids = _children(below.pop())
            below += kids
            found.update(kids)
    except FileNotFoundError:  # a kernel without these files
        return _descendants_by_scan(pid)
    return found


def _children(pid: int) -> list[int]:
    """Return the children of a process; raises `FileNotFoundError` where the kernel does not list them."""
    found: list[int] = []
    for thread in _threads(pid):
        try:
            found += map(int, (_PROC / str(pid) / "task" / thread / "children").read_bytes().split())
        except FileNotFoundError:
            if (_PROC / str(pid) / "task" / thread / "stat").exists():
                raise
        except OSError:  # it has just ended
            continue
    return [each for each in found if _state(each)[0] not in b"ZX"]


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(_PROC / str(pid) / "task")  # noqa: PTH208 - names are what is wanted
    except OSError:
        return []


def _descendants_by_scan(pid: int) -> set[int]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for each in _processes():
        state, parent = _state(each)
        if state not in b"ZX":
            children[parent].append(each)
    found: set[int] = set()
    below = [pid]
    while below:
        kids = children[below.pop()]
        below += kids
        found.update(kids)
    return found


def _processes() -> Iterator[int]:
    """Yield the pids of all processes; nothing where there is no /proc."""
    try:
        names = os.listdir(_PROC)  # noqa: PTH208 - names are what is wanted
    except OSError:
        return
    for name in names:
        if name.isdigit():
            yield int(name)


def _state(pid: int) -> tuple[bytes, int]:
    """Return a process's state letter and its parent; X for one that is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return b"X", 0
    state, parent = stat.rpartition(b")")[2].split()[:2]
    return state, int(parent)


def _marked(mark: str) -> Iterator[int]:
    """Yield the living processes that carry a mark; those of other users cannot be seen, and cannot be ours."""
    wanted = f"{MARK}={mark}".encode()
    for pid in _processes():
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment and wanted in environment.split(b"\0"):  # a zombie has no environment
            yield pid
