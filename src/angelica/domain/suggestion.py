"""Suggested limits: how long an attempt of a function should be let run, and what it needs, from what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from angelica.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from angelica.domain import reasons
from angelica.domain.task import Attempt
from angelica.durations import format_duration

SAMPLE: Final = 200
"""So many of the latest attempts say what the next ones will take."""
ENOUGH: Final = 10
"""Of fewer, chance would say it."""
LONG_ENOUGH: Final = 10 * MILLISECOND
"""The share of a CPU that an attempt took is looked at from here on: of a shorter one it is mostly noise."""

TIMEOUT_ROOM: Final = 2.0
MEMORY_ROOM: Final = 1.25
CPU_ROOM: Final = 1.1
"""How much more than was seen is suggested. A CPU too few makes a task slow, a time-out too short ends a good one."""

_MIB: Final = 1 << 20
_LEAST_MEMORY: Final = 16 * _MIB
_TIMEOUTS: Final = (
    *[n * SECOND for n in (1, 2, 3, 5, 10, 15, 20, 30)],
    *[n * MINUTE for n in (1, 2, 3, 5, 10, 15, 20, 30)],
    *[n * HOUR for n in (1, 2, 3, 6, 12, 24)],
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What 19 of 20 attempts stayed within, and the most that one took."""

    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Limits for a function. `timeout` is microseconds, `cpu` CPUs, `memory` bytes; None where nothing can be said.

    It rests on `runs` attempts, of which CPU time and memory were measured for `measured`; `stopped` of them ran into
    a limit, so that nobody knows what they would have needed. `run_time` and `cpu_time` are microseconds, `cpu_share`
    CPUs (CPU time by run time), `peak_memory` bytes.
    """

    runs: int = 0
    measured: int = 0
    stopped: int = 0
    run_time: Seen | None = None
    cpu_time: Seen | None = None
    cpu_share: Seen | None = None
    peak_memory: Seen | None = None
    timeout: int | None = None
    cpu: float | None = None
    memory: int | None = None


def suggest(attempts: Iterable[Attempt]) -> Suggestion:
    """Return what attempts of one function suggest.

    Those count that succeeded, and those that ran into a limit. One that failed by itself may have stopped anywhere,
    one that was cancelled or lost was stopped by others, and the figures of a process that died are not its own.
    """
    runs: list[tuple[int, Attempt]] = []
    stopped = 0
    for attempt in attempts:
        if attempt.started_at is None or not (attempt.outcome == "succeeded" or _is_stopped(attempt)):
            continue
        runs.append((max(attempt.finished_at - attempt.started_at, 0), attempt))
        stopped += _is_stopped(attempt)
    used = [(took, attempt.usage) for took, attempt in runs if attempt.usage is not None]
    run_time = _seen([took for took, _ in runs])
    share = _seen([usage.cpu_seconds * SECOND / took for took, usage in used if took >= LONG_ENOUGH])
    peak = _seen([usage.peak_memory for _, usage in used if usage.peak_memory is not None])
    return Suggestion(
        runs=len(runs),
        measured=len(used),
        stopped=stopped,
        run_time=run_time,
        cpu_time=_seen([usage.cpu_seconds * SECOND for _, usage in used]),
        cpu_share=share,
        peak_memory=peak,
        timeout=None if run_time is None else timeout_for(run_time.most),
        cpu=None if share is None else cpu_for(share.p95),
        memory=None if peak is None else memory_for(peak.most),
    )


def _is_stopped(attempt: Attempt) -> bool:
    reason = None if attempt.error is None else attempt.error.reason
    return attempt.outcome != "succeeded" and reason in {reasons.TIMEOUT, reasons.OUT_OF_MEMORY}


def _seen(values: Sequence[float]) -> Seen | None:
    if len(values) < ENOUGH:
        return None
    ordered = sorted(values)
    return Seen(ordered[ceil(0.95 * len(ordered)) - 1], ordered[-1])


def timeout_for(most: float) -> int:
    """Return a time-out (microseconds) for attempts of which the longest took `most`: a figure that people say."""
    wanted = most * TIMEOUT_ROOM
    return next((each for each in _TIMEOUTS if each >= wanted), ceil(wanted / DAY) * DAY)


def memory_for(most: float) -> int:
    """Return bytes for attempts of which the largest took `most`, in steps of an eighth to a quarter."""
    wanted = max(ceil(most * MEMORY_ROOM), _LEAST_MEMORY)
    step = max(1 << (wanted.bit_length() - 3), _LEAST_MEMORY)
    return -(-wanted // step) * step


def cpu_for(share: float) -> float:
    """Return CPUs for attempts that kept `share` of them busy: tenths below one, then halves, above four whole ones."""
    wanted = max(share * CPU_ROOM, 0.1)
    parts = 10 if wanted <= 1 else 2 if wanted <= 4 else 1  # noqa: PLR2004 - the steps of the docstring
    return ceil(wanted * parts - 1e-9) / parts


def shown(suggestion: Suggestion, *, command: bool = False) -> str:
    """Return the suggestion in words: as it is written in a declaration, or of a command in its table."""
    if suggestion.run_time is None:
        have = f"{suggestion.runs} of the {ENOUGH}" if suggestion.runs else f"none of the {ENOUGH}"
        return (
            f"Not enough runs yet: {have} that a suggestion rests on. Those count that succeeded or ran into a limit, "
            "as long as their tasks are kept."
        )
    parts = _as_table(suggestion) if command else _as_arguments(suggestion)
    text = f"{', '.join(parts)} (from the latest {suggestion.runs} runs)."
    if suggestion.stopped:
        text += f" {suggestion.stopped} of them ran into a limit: nobody knows what they would have needed."
    if suggestion.measured < ENOUGH and not command:
        text += ' CPU time and memory are measured for executor="process" alone.'
    return text


def _as_arguments(suggestion: Suggestion) -> list[str]:
    parts = [] if suggestion.timeout is None else [f'timeout="{format_duration(suggestion.timeout)}"']
    needs = [] if suggestion.cpu is None else [f'"cpu": {suggestion.cpu:g}']
    needs += [] if suggestion.memory is None else [f'"memory": "{_size(suggestion.memory)}"']
    return [*parts, f"resources={{{', '.join(needs)}}}"] if needs else parts


def _as_table(suggestion: Suggestion) -> list[str]:
    parts = [] if suggestion.timeout is None else [f'timeout = "{format_duration(suggestion.timeout)}"']
    parts += [] if suggestion.cpu is None else [f"cpu = {suggestion.cpu:g}"]
    return parts if suggestion.memory is None else [*parts, f'memory = "{_size(suggestion.memory)}"']


def _size(count: int) -> str:
    return f"{count // _MIB}MiB"
