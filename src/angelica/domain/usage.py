"""Usage: what one attempt took of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UsageSource = Literal["vmhwm", "maxrss", "wait4", "cgroup v1", "cgroup v2", "rusage", "proc"]


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time and peak memory of one attempt.

    `cpu_seconds` is user and system time, that of subprocesses that were waited for included. `peak_memory` is in
    bytes of resident memory, None if nobody knows. `source` says where the peak comes from, since they do not mean the
    same. In a child process, `vmhwm` is the peak of this attempt alone, `maxrss` that of its process so far, and
    `wait4` what the kernel told of a process that died, which may be the peak of the process that started it. Of a
    command, `cgroup v1` and `cgroup v2` are the peak of all its processes together, with the pages of files they read,
    `rusage` is that of its largest process, and `proc` that of all together, as often as somebody looked.
    """

    cpu_seconds: float
    peak_memory: int | None = None
    source: UsageSource = "vmhwm"
