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


def kill_tree(pid: int, mark: str) -> None:
    """Kill the child `pid` itself, its group, its descendants, and whatever else carries its mark.

    Descendants by parentage are those of a subreaper, so also orphans; once the child is dead, only the mark tells.
    """
    found = _descendants(pid, mark)  # before the child dies, and its orphans go to somebody else
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _kill(found)
    kill_rest(pid, mark)


def kill_rest(pid: int, mark: str) -> None:
    """Kill what the child has started, and let the child itself live."""
    for _ in range(ROUNDS):
        found = _descendants(pid, mark)
        if not found:
            return
        _kill(found)


def _kill(pids: set[int]) -> None:
    for each in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)


def _descendants(pid: int, mark: str) -> set[int]:
    """Return the living processes below `pid`, or with its mark, without `pid` itself."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    marked = f"{MARK}={mark}".encode()
    found = set()
    for each, parent in _processes():
        children[parent].append(each)
        if each != pid and _carries(each, marked):
            found.add(each)
    below = [pid]
    while below:  # parentage has no rings
        kids = children[below.pop()]
        below += kids
        found.update(kids)
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Yield (pid, parent's pid) of all that live; nothing where there is no /proc."""
    try:
        names = os.listdir(_PROC)  # noqa: PTH208 - some hundred names, at each forced stop
    except OSError:
        return
    for name in names:
        if not name.isdigit():
            continue
        try:
            stat = (_PROC / name / "stat").read_bytes()
        except OSError:
            continue
        state, parent = stat.rpartition(b")")[2].split()[:2]
        if state not in (b"Z", b"X"):
            yield int(name), int(parent)


def _carries(pid: int, marked: bytes) -> bool:
    try:
        return marked in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
