"""What a worker asks to be run, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from angelica.clock import SECOND
from angelica.domain.command import Limits
from angelica.runtime.commands.output import OutputLimits

GRACE: Final = 3 * SECOND
"""Between SIGTERM and SIGKILL; less than what a worker that leaves gives its last attempts."""

Reason = Literal["exited", "signalled", "timeout", "stopped", "out_of_memory", "not_started", "crashed"]


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command to run: `argv` with an absolute program first, in exactly the environment `env`.

    HOME, TMPDIR and TASK_RUN are added to `env`. `files` are copied into the private working directory. `run_as` is
    the user to become, needed as root and not looked at otherwise. `timeout` (None: none) and `grace` are
    microseconds; the grace passes between SIGTERM and SIGKILL.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    run_as: str | None = None
    limits: Limits = field(default_factory=Limits)
    timeout: int | None = None
    grace: int = GRACE
    output: OutputLimits = field(default_factory=OutputLimits)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took: CPU seconds of all its processes and the most bytes of memory, each with its source.

    Sources of CPU seconds: `cgroup v1`, `cgroup v2`, `rusage`. Sources of memory: `cgroup v1` and `cgroup v2` (all
    processes together, with the pages of files they read), `rusage` (the largest single process, never less than
    the spawning one: some 14 MiB) and `proc` (all processes together, as often as somebody looked).
    """

    cpu_seconds: float = 0.0
    cpu_source: str = ""
    peak_memory: int = 0
    memory_source: str = ""


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended.

    `reason`: it `exited` with `exit_code`, was `signalled` (`signal`), met its `timeout`, was `stopped` on request,
    passed its memory limit (`out_of_memory`), was `not_started` (`message` says why), or its keeper was killed
    (`crashed`). `killed_by` names the means if processes had to be killed: `cgroup.kill`, `cgroup.procs` or
    `process tree`. `dropped` has, by stream, the lines and bytes of output that were not passed on. `seconds` is how
    long it ran.
    """

    reason: Reason
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    killed_by: str | None = None
    usage: Usage = field(default_factory=Usage)
    dropped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0
