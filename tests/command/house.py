"""What the tests of commands share: a runner in a directory that other users can pass, and short words for runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

from angelica.clock import SECOND
from angelica.domain.command import Limits
from angelica.runtime.commands.runner import CommandRunner
from angelica.runtime.commands.spec import CommandSpec
from angelica.runtime.limits import proc

ROOT = os.geteuid() == 0
RUN_AS = "nobody" if ROOT else None
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
GONE_WITHIN = 2.0


def open_to_all(path: str) -> bool:
    """Whether any user can run it: not so for an interpreter under root's home."""
    real = Path(path).resolve()
    return real.is_file() and all(part.stat().st_mode & 0o001 for part in (real, *real.parents))


def python() -> str:
    """An interpreter that the commands' user can run."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if not ROOT or open_to_all(candidate):
            return candidate
    raise AssertionError("no Python here that another user can run: install one in /usr/bin")


PYTHON = python()


RUNS = set()
"""The runs that this process knows of: others test beside us, on the same machine."""


class Recorded(CommandRunner):
    """A runner that remembers its runs."""

    def _asked(self, spec, run, owner):
        RUNS.add(run)
        return super()._asked(spec, run, owner)


@asynccontextmanager
async def runner_in(directory, *, groups=True):
    runner = Recorded(directory, groups=groups)
    try:
        yield runner
    finally:
        await runner.close()


class Ran:
    """How a run ended, with its output by stream."""

    def __init__(self, end, output, took):
        self.end = end
        self.out = output["stdout"]
        self.err = output["stderr"]
        self.took = took

    @property
    def why(self):
        return (self.end, self.out[-5:], self.err[-5:])


def spec(*argv, limits=None, timeout=None, grace=0.3, env=PATH, **more):
    bounds = {} if timeout is None else {"timeout": int(timeout * SECOND)}
    more.setdefault("run_as", RUN_AS)
    return CommandSpec(argv, env, limits=limits or Limits(), grace=int(grace * SECOND), **bounds, **more)


async def ran(runner, *argv, stop=None, hasten=None, on_lines=None, **more):
    output = {"stdout": [], "stderr": []}
    begun = time.monotonic()

    def take(stream, lines):
        output[stream].extend(lines)
        if on_lines is not None:
            on_lines(stream, lines)

    end = await runner.run(spec(*argv, **more), on_lines=take, stop=stop, hasten=hasten)
    return Ran(end, output, time.monotonic() - begun)


def run(directory, *argv, within=30.0, groups=True, **more):
    """Run one command with a runner of its own."""

    async def story():
        async with runner_in(directory, groups=groups) as runner:
            return await ran(runner, *argv, **more)

    return play(story(), within)


def play(coroutine, within=30.0):
    async def bounded():
        async with asyncio.timeout(within):
            return await coroutine

    return asyncio.run(bounded())


async def until(holds, within=5.0):
    ends_at = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < ends_at, "it did not come true in time"
        await asyncio.sleep(0.01)
    return found


def alive(canary):
    """The processes that carry a canary in their command line: a scan that does not depend on what it tests."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if canary.encode() in line:
                found.append(int(entry.name))
    return found


def survivors(run_id):
    return proc.marked(f"TASK_RUN={run_id}")


def make_directory():
    """A directory below one that every user can pass: pytest's own can be passed by nobody else."""
    above = Path(tempfile.mkdtemp(prefix="angelica-test-"))
    above.chmod(0o711)
    return above


def remove_directory(above):
    shutil.rmtree(above, ignore_errors=True)


def left_in(directory):
    """What runs have left where they ran, and in the trees of control groups."""
    places = [path.name for path in Path(directory).glob("run-*")]
    RUNS.update(name.removeprefix("run-") for name in places)
    groups = [above for above, _, _ in os.walk("/sys/fs/cgroup")]  # which minds no group that goes while it walks
    return places + [group for group in groups if group.rpartition("/angelica-")[2] in RUNS]
