"""Usage: what one attempt took of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UsageSource = Literal["vmhwm", "maxrss", "wait4"]


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time and peak memory of one attempt.

    `cpu_seconds` is user and system time, that of subprocesses that were waited for included. `peak_memory` is in
    bytes of resident memory, None if nobody knows. `source` says where the peak comes from, since the three do not
    mean the same: `vmhwm` is the peak of this attempt alone, `maxrss` the peak of its process so far, `wait4` what
    the kernel told of a process that died, which may be the peak of the process that started it.
    """

    cpu_seconds: float
    peak_memory: int | None = None
    source: UsageSource = "vmhwm"
