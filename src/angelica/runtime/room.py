"""Room: how much a worker may claim, from its free slots and from how fast its slots have been turning over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from angelica.clock import MILLISECOND
from angelica.runtime.executors.base import Executor

HORIZON: Final = 50 * MILLISECOND
AHEAD_CAP: Final = 3_000
BATCH: Final = 2_000
"""At the most in one claim. An exchange costs a millisecond or two whatever is in it; beside a thousand slots, what is
ahead makes two full claims, of which one runs while the other is on its way."""
WEIGHT: Final = 0.05
"""Share of the newest run time in the running mean."""


class Room:
    """Free slots by executor kind, plus what the measured mean run time will have ended within 50 ms.

    Nothing is claimed ahead until a run time is known, so a worker never hoards slow tasks. `cap` bounds the slots
    of all kinds together (None = each kind's own); `waiting` says how many wait for one elsewhere. While what comes
    counts at limits or as its tenant's, `hoards` is false: such tasks are claimed only for a free slot.
    """

    def __init__(
        self,
        executors: Sequence[Executor],
        *,
        cap: int | None = None,
        waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self._executors = executors
        self._waiting = waiting
        self._cap = cap
        self._mean: dict[str, float] = {}
        self.hoards = True

    def record(self, kind: str, run_time: int) -> None:
        """Take the run time (microseconds) of an attempt that has ended into the mean."""
        mean = self._mean.get(kind)
        self._mean[kind] = run_time if mean is None else mean + WEIGHT * (run_time - mean)

    def misjudged(self, kind: str) -> None:
        """Forget the mean of a kind: what is running takes longer than it says."""
        self._mean.pop(kind, None)

    def ahead(self, kind: str, slots: int) -> int:
        """Return how many assignments may wait for a slot."""
        mean = self._mean.get(kind)
        if mean is None or not self.hoards:
            return 0
        return min(int(slots * HORIZON / max(mean, 1.0)), AHEAD_CAP)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of executor there are."""
        return frozenset(executor.kind for executor in self._executors)

    def now(self, kinds: frozenset[str]) -> tuple[tuple[tuple[str, int], ...], int]:
        """Return the room of each of `kinds` that has any, and the total wanted, at most one batch."""
        room = []
        total = 0
        for executor in self._executors:
            if executor.kind not in kinds:
                continue
            slots = executor.slots if self._cap is None else min(executor.slots, self._cap)
            free = slots + self.ahead(executor.kind, slots) - executor.load()
            if free > 0:
                room.append((executor.kind, min(free, BATCH)))
                total += free
        if self._cap is not None:
            ahead = max((self.ahead(e.kind, self._cap) for e in self._executors), default=0)
            total = min(total, self._cap + ahead - sum(e.load() for e in self._executors))
        total -= self._waiting()
        return tuple(room), max(min(total, BATCH), 0)

    def slots(self) -> dict[str, int]:
        """Return the free slots of each kind: what may be claimed of that which is never claimed ahead."""
        loads = {executor.kind: executor.load() for executor in self._executors}
        left = None if self._cap is None else self._cap - sum(loads.values()) - self._waiting()
        free = {executor.kind: executor.slots - loads[executor.kind] for executor in self._executors}
        return free if left is None else {kind: min(count, left) for kind, count in free.items()}
