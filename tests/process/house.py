"""What the tests of the process executor share: the application's engines on a store of the test's own."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.process import app


@contextmanager
def running(url="memory:", engine=app.engine, **settings):
    """Run a worker of an application's engine in the background."""
    before = engine.settings
    url = url if url == "memory:" else f"sqlite:///{url}"
    engine.settings = replace(before, url=url, **settings)
    try:
        with engine:
            yield engine
    finally:
        engine.settings = before


def end_of(handle, within=20.0):
    """Wait for the end of a task and return it as it stands."""
    return handle.wait(within).task


def until(holds, within=10.0):
    ends_at = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < ends_at, "it did not come true in time"
        time.sleep(0.005)
    return found


def pid_in(path):
    """Wait until a handler has written its pid into a file."""
    return int(until(lambda: Path(path).exists() and Path(path).read_text("utf-8").strip()))


def lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def children_of(pid=None):
    """The warm children of this process (other tests may have processes of their own, a database server for one)."""
    pid = pid or os.getpid()
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX" and is_warm(stat.parent):
            found.append(int(stat.parent.name))
    return found


def is_warm(process):
    try:
        return b"angelica.cli.child" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def lines_of(engine, handle):
    found, after = [], (0, 0)
    while page := engine.call(engine.service.logs(handle.id, after=after, limit=1000)):
        found += page
        after = (page[-1].attempt, page[-1].seq)
    return [line.message for line in found]


def attempts_of(engine, handle):
    return engine.call(engine.service.attempts(handle.id))
