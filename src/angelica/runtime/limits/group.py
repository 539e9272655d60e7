"""The control groups of one command: one in each tree that is of use."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from angelica.clock import tick_micros
from angelica.runtime.limits import proc
from angelica.runtime.limits.files import field, number, read, write
from angelica.runtime.limits.machine import Machine

PREFIX: Final = "angelica-"
_PERIOD: Final = 100_000  # microseconds: the kernel's own default
_LAST_TRY: Final = 2_000_000  # microseconds that a group which has just lost its last process may take to be removed
_LEAST_QUOTA: Final = 1_000
_PAUSE: Final = 0.002


class Group:
    """Groups with limits; without any on a machine that has none. `directories` is where they are."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.directories: list[str] = []
        self._v1: dict[str, str] = {}
        self._v2: str | None = None
        try:
            if machine.v2 is not None:
                self._v2 = self._make(f"{machine.v2}/{PREFIX}{name}")
            for controller, parent in machine.v1.items():
                self._v1[controller] = self._make(f"{parent}/{PREFIX}{name}")
        except OSError:
            self.close()
            raise

    def _make(self, directory: str) -> str:
        if directory not in self.directories:  # cpu and cpuacct are often mounted together
            Path(directory).mkdir()
            self.directories.append(directory)
        return directory

    def bound(self, memory: int | None, cpu: float | None, pids: int) -> None:
        """Set the limits that groups can hold here; raises `OSError` if the kernel refuses one."""
        if memory is not None:
            self._bound_memory(memory)
        if cpu is not None:
            quota = max(int(cpu * _PERIOD), _LEAST_QUOTA)
            if self._has("cpu"):
                write(f"{self._v2}/cpu.max", f"{quota} {_PERIOD}")
            elif "cpu" in self._v1:
                write(f"{self._v1['cpu']}/cpu.cfs_period_us", str(_PERIOD))
                write(f"{self._v1['cpu']}/cpu.cfs_quota_us", str(quota))
        if self._has("pids"):
            write(f"{self._v2}/pids.max", str(pids))
        elif "pids" in self._v1:
            write(f"{self._v1['pids']}/pids.max", str(pids))

    def _bound_memory(self, memory: int) -> None:
        if self._has("memory"):
            write(f"{self._v2}/memory.max", str(memory))
            with suppress(OSError):  # no swap: nothing to forbid
                write(f"{self._v2}/memory.swap.max", "0")
            with suppress(OSError):  # the tree ends as one: half a pipeline computes nonsense
                write(f"{self._v2}/memory.oom.group", "1")
        elif "memory" in self._v1:
            directory = self._v1["memory"]
            write(f"{directory}/memory.limit_in_bytes", str(memory))
            with suppress(OSError):  # no accounting of swap
                write(f"{directory}/memory.memsw.limit_in_bytes", str(memory))

    def _has(self, controller: str) -> bool:
        return self._v2 is not None and controller in self.machine.controllers

    def enter(self) -> None:
        """Put the calling process into all groups; while it still has the right to."""
        for directory in self.directories:
            write(f"{directory}/cgroup.procs", "0")

    def kill(self) -> str | None:
        """Kill every process in the groups; return by which means, None if there are no groups."""
        return kill_groups(self.directories)

    def cpu_seconds(self) -> tuple[float, str] | None:
        """Return the CPU time of all that ran in the groups, in seconds, and its source."""
        if self._v2 is not None:
            micros = field(f"{self._v2}/cpu.stat", "usage_usec")
            if micros is not None:
                return micros / 1e6, "cgroup v2"
        if "cpuacct" in self._v1:
            nanos = number(f"{self._v1['cpuacct']}/cpuacct.usage")
            if nanos is not None:
                return nanos / 1e9, "cgroup v1"
        return None

    def peak_memory(self) -> tuple[int, str] | None:
        """Return the most bytes that the groups held at once, pages of files included, and its source."""
        if self._has("memory"):
            peak = number(f"{self._v2}/memory.peak")
            return None if peak is None else (peak, "cgroup v2")
        if "memory" in self._v1:
            peak = number(f"{self._v1['memory']}/memory.max_usage_in_bytes")
            return None if peak is None else (peak, "cgroup v1")
        return None

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed for the memory limit."""
        if self._has("memory"):
            return field(f"{self._v2}/memory.events", "oom_kill") or 0
        if "memory" in self._v1:
            return field(f"{self._v1['memory']}/memory.oom_control", "oom_kill") or 0
        return 0

    def close(self) -> None:
        """Remove the groups; they must be empty."""
        remove_groups(self.directories)
        self.directories = []


def kill_groups(directories: Iterable[str]) -> str | None:
    """Kill every process in groups; return `cgroup.kill` or `cgroup.procs`, None if there are none."""
    means = None
    for directory in directories:
        try:
            write(f"{directory}/cgroup.kill", "1")
        except OSError:  # a v1 tree, or a kernel before 5.14
            for pid in _members(directory):
                proc.send(pid, signal.SIGKILL)
            means = means or "cgroup.procs"
        else:
            return "cgroup.kill"
    return means


def remove_groups(directories: Iterable[str]) -> None:
    """Remove groups, waiting a moment for the last of their processes; what does not go is left behind."""
    ends_at = tick_micros() + _LAST_TRY
    for directory in directories:
        while not _removed(directory) and tick_micros() < ends_at:
            for pid in _members(directory):
                proc.send(pid, signal.SIGKILL)
            select.select([], [], [], _PAUSE)


def _removed(directory: str) -> bool:
    try:
        Path(directory).rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # a process is still on its way out
        return False
    return True


def _members(directory: str) -> list[int]:
    return [int(line) for line in read(f"{directory}/cgroup.procs").split() if line != "0"]
