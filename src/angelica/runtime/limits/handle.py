"""The limits of one command as a handle: how to enter them, how to end all that is in them, what they measured."""

from __future__ import annotations

import math
import os
import resource
import select
from collections.abc import Callable
from typing import Final, NamedTuple

from angelica.clock import tick_micros
from angelica.runtime.limits import proc
from angelica.runtime.limits.group import Group
from angelica.runtime.limits.machine import Machine

GONE_WITHIN: Final = 2_000_000
"""Microseconds in which a killed tree is gone."""

OPEN_FILES: Final = 256
FILE_SIZE: Final = 1 << 30
_ADDRESS_ROOM: Final = 4 << 30
_PAUSE: Final = 0.003
_PATIENCE: Final = 100_000


class Bounds(NamedTuple):
    """What a command may take: bytes of memory, CPUs (None: no bound), processes and threads; and as which user."""

    memory: int | None
    cpu: float | None
    pids: int
    uid: int


class Measured(NamedTuple):
    """What a command took: CPU seconds of all its processes, and the most bytes of memory, each with its source.

    The source of memory is `cgroup v1` or `cgroup v2` (all processes together, with the pages of files), `rusage`
    (the largest single process; never below what the spawning process itself had, some 12 MiB) or `proc` (all
    processes together, as often as somebody looked).
    """

    cpu_seconds: float
    cpu_source: str
    peak_memory: int
    memory_source: str


class Handle:
    """Limits for one command named `name`. The keeper makes it; its child enters it before the exec."""

    def __init__(self, machine: Machine, name: str, bounds: Bounds) -> None:
        self.bounds = bounds
        self.means = machine.means()
        self._group = Group(machine, name)
        self._sampled = 0
        self._over = False
        self._others = proc.threads_of(bounds.uid) if self.means["pids"] == "rlimit" else 0
        try:
            self._group.bound(bounds.memory, bounds.cpu, bounds.pids)
        except OSError:
            self._group.close()
            raise

    @property
    def directories(self) -> list[str]:
        """Where the groups are: what a janitor needs to end them."""
        return self._group.directories

    @property
    def watched(self) -> bool:
        """Whether `look` must be called while the command runs."""
        return self.bounds.memory is not None and self.means["memory"] == "watchdog"

    def enter(self) -> None:
        """Bound the calling process and all that it will start; in the child, before it gives up its rights."""
        self._group.enter()
        bounds = self.bounds
        if bounds.cpu is not None and self.means["cpu"] == "affinity":
            _pin(math.ceil(bounds.cpu))
        if self.means["pids"] == "rlimit" and bounds.uid != 0:
            # It counts all that the user runs, here and elsewhere. For root it would be no limit at all.
            _lower(resource.RLIMIT_NPROC, self._others + bounds.pids)
        if self.watched and bounds.memory is not None:
            # The backstop of the watchdog for what grows faster than it looks. Address space is not memory:
            # interpreters reserve much more of it than they touch, so this is no limit to live by.
            _lower(resource.RLIMIT_AS, 2 * bounds.memory + _ADDRESS_ROOM)
        _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
        _lower(resource.RLIMIT_FSIZE, FILE_SIZE)
        _lower(resource.RLIMIT_CORE, 0)

    def look(self) -> bool:
        """Measure the memory of all processes below the caller; return whether they have passed their limit."""
        size = proc.resident(proc.family(os.getpid()))
        self._sampled = max(self._sampled, size)
        if self.bounds.memory is not None and size > self.bounds.memory:
            self._over = True
        return self._over

    def oom(self) -> bool:
        """Whether the memory limit has killed a process, or must."""
        return self._over or self._group.oom_kills() > 0

    def kill_tree(self, gone: Callable[[], bool]) -> str:
        """Kill all processes of the command; return the means: `cgroup.kill`, `cgroup.procs` or `process tree`.

        `gone` reaps, and says whether no child is left to the caller, a subreaper: the proof that nobody is. The
        groups may have missed somebody, so the process tree is the second means everywhere. Takes at most 2 seconds.
        """
        means = self._group.kill()
        begun = tick_micros()
        while not gone():
            elapsed = tick_micros() - begun
            if elapsed > GONE_WITHIN:  # in the kernel, where no signal reaches it: what holds it is not ours to end
                break
            if means is None or elapsed > _PATIENCE:
                proc.kill_family(os.getpid())
            select.select([], [], [], _PAUSE)
        return means or "process tree"

    def usage(self, cpu_seconds: float, peak_memory: int) -> Measured:
        """Return what was taken; the arguments are the sums and peaks of `wait4`, for where there is nothing better."""
        cpu = self._group.cpu_seconds() or (cpu_seconds, "rusage")
        sampled = (self._sampled, "proc") if self._sampled > peak_memory else (peak_memory, "rusage")
        return Measured(*cpu, *(self._group.peak_memory() or sampled))

    def close(self) -> None:
        """Remove what the limits left in the system."""
        self._group.close()


def _pin(count: int) -> None:
    """Bind the calling process to `count` CPUs, another set for each command."""
    allowed = sorted(os.sched_getaffinity(0))
    first = os.getpid() % len(allowed)
    os.sched_setaffinity(0, (allowed[first:] + allowed[:first])[:count])


def _lower(which: int, value: int) -> None:
    """Set a limit for good; one that is lower already stays."""
    hard = resource.getrlimit(which)[1]
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (wanted, wanted))
