"""The only module that reads a clock: one moment as a value, and the clocks that make it.

Inside the engine every moment and every duration is a whole number of microseconds.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Final, NamedTuple, Protocol

MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# CLOCK_BOOTTIME counts through a suspend, CLOCK_MONOTONIC does not; macOS has only the latter.
_TICK_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Now(NamedTuple):
    """One moment, as three readings.

    `wall` is microseconds since the Unix epoch (UTC) and decides `run_at`; `tick` is microseconds of a clock that
    never jumps and decides leases; `boot` names the boot of the host that `tick` belongs to.
    """

    wall: int
    tick: int
    boot: str


class Clock(Protocol):
    """Makes `Now`."""

    def now(self) -> Now:
        """Return the current moment."""
        ...

    def wall(self) -> int:
        """Return only `now().wall`; cheaper."""
        ...


class SystemClock:
    """The host's boot-time clock, shifted by the offsets that the store keeps for all processes.

    `wall_offset` is what must be added to the tick clock to get the wall clock. All processes of one SQLite file
    share one stored offset, so a wall clock that is set back or forward while they run does not tear them apart.
    """

    __slots__ = ("_boot", "_tick_offset", "_wall_offset")

    def __init__(self, *, wall_offset: int | None = None, tick_offset: int = 0, boot: str | None = None) -> None:
        self._wall_offset = system_wall_offset() if wall_offset is None else wall_offset
        self._tick_offset = tick_offset
        self._boot = boot_id() if boot is None else boot

    def follow(self, store: Now) -> None:
        """Agree from now on with a store whose clock has just been read as `store`."""
        tick = tick_micros()
        self._wall_offset = store.wall - tick
        self._tick_offset = store.tick - tick
        self._boot = store.boot

    def shift_to(self, wall_offset: int) -> None:
        """Read the wall clock as another process of this host does, whose offset (microseconds) this is."""
        self._wall_offset = wall_offset

    def now(self) -> Now:
        tick = time.clock_gettime_ns(_TICK_CLOCK) // 1000
        return Now(tick + self._wall_offset, tick + self._tick_offset, self._boot)

    def wall(self) -> int:
        return time.clock_gettime_ns(_TICK_CLOCK) // 1000 + self._wall_offset


class ManualClock:
    """A clock that moves only when it is told to; for tests."""

    __slots__ = ("_boot", "_tick", "_wall")

    def __init__(self, wall: int = 1_700_000_000 * SECOND, tick: int = 1_000 * SECOND, boot: str = "boot-0") -> None:
        self._wall = wall
        self._tick = tick
        self._boot = boot

    def now(self) -> Now:
        return Now(self._wall, self._tick, self._boot)

    def wall(self) -> int:
        return self._wall

    def advance(self, micros: int) -> Now:
        """Move both readings forward by `micros` and return the new moment."""
        self._wall += micros
        self._tick += micros
        return self.now()

    def shift_wall(self, micros: int) -> Now:
        """Move only the wall clock, as an operator or a bad NTP server would."""
        self._wall += micros
        return self.now()

    def reboot(self, boot: str) -> Now:
        """Start a new boot: another boot id, and a tick clock that begins again."""
        self._boot = boot
        self._tick = SECOND
        return self.now()


def tick_micros() -> int:
    """Return the reading of the host's tick clock in microseconds."""
    return time.clock_gettime_ns(_TICK_CLOCK) // 1000


def wall_micros() -> int:
    """Return the host's own wall clock in microseconds since the epoch."""
    return time.time_ns() // 1000


def system_wall_offset() -> int:
    """Return wall clock minus tick clock, in microseconds, as the host has it now."""
    return wall_micros() - tick_micros()


def boot_id() -> str:
    """Return the kernel's id of this boot, or one that is stable for this process where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return _FALLBACK_BOOT


_FALLBACK_BOOT: Final = f"node-{uuid.getnode():012x}"
