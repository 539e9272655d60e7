"""What this process may take of the machine: its CPUs, and the memory that is there for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from angelica.domain.resources import Capacity
from angelica.runtime.limits.files import field, number, read
from angelica.runtime.limits.machine import own_group, read_mounts, read_paths

SHARE: Final = 0.8
"""Of the memory: the rest is for the system, the store's cache and the worker itself."""

_KIB: Final = 1024
_UNBOUNDED: Final = 1 << 60
_V2: Final = 2


def capacity(cpu: float | None = None, memory: int | None = None) -> Capacity:
    """Return what a worker gives to its tasks; the arguments are what was set, None what is found on this machine."""
    return Capacity(float(cpu_count()) if cpu is None else cpu, int(_memory() * SHARE) if memory is None else memory)


def cpu_count() -> int:
    """Return how many CPUs this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # a system without affinities
        return os.cpu_count() or 1


def _memory() -> int:
    """Return bytes: of the machine, or of the control group that bounds us; 0 if neither says."""
    found = [bound for bound in (_installed(), *_bounds()) if bound is not None and bound < _UNBOUNDED]
    return min(found, default=0)


def _installed() -> int | None:
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * _KIB
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _bounds() -> list[int | None]:
    """Return the memory limits of the control groups that we are in."""
    paths = read_paths(read("/proc/self/cgroup"))
    found: list[int | None] = []
    for mount in read_mounts(read("/proc/self/mountinfo")):
        if mount.version == _V2 and "" in paths:
            group = own_group(mount, paths[""])
            top = Path(mount.point)
            places = [] if group is None else [Path(group), *Path(group).parents]
            found += [number(place / "memory.max") for place in places if place.is_relative_to(top)]
        elif "memory" in mount.controllers and "memory" in paths:
            group = own_group(mount, paths["memory"])
            found.append(None if group is None else field(f"{group}/memory.stat", "hierarchical_memory_limit"))
    return found
