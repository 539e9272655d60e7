"""The memory storage's gates: what is set at each, who counts at it, and who has left it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any

from angelica.domain.breaker import NEW, Breaker
from angelica.domain.gates import parent_of
from angelica.domain.limits import EMPTY, Bucket, LimitSettings
from angelica.domain.limits import refund as give_back
from angelica.storage.breaker_rules import breaker_of, is_breaker
from angelica.storage.fair_rules import FORGOTTEN
from angelica.storage.limit_rules import Doorway, Stored, effective
from angelica.storage.protocol import LimitRow


class Gates:
    """`passed` says at which gates each running task counts, and when it was counted for their rates, if it was.

    `left` says how many have left each gate.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}
        self.buckets: dict[str, Bucket] = {}
        self.passed: dict[str, dict[str, int | None]] = {}
        self.left: Counter[str] = Counter()
        self.breakers: dict[str, Breaker] = {}
        self.served: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._looked_at = ""

    def settings(self, gate: str) -> LimitSettings:
        """Return what holds at a gate."""
        parent = parent_of(gate)
        return effective(self.stored.get(gate), None if parent is None else self.stored.get(parent))

    def put(self, gate: str, declared: Mapping[str, Any], override: Mapping[str, Any]) -> None:
        """Store what is set at a gate; nothing is kept where that is nothing."""
        if declared or override:
            self.stored[gate] = declared, override
        else:
            self.stored.pop(gate, None)

    def meet(self, doorway: Doorway, names: Iterable[str]) -> None:
        """Let a claim know gates."""
        for name in doorway.unknown(names):
            if is_breaker(name):
                doorway.meet_breaker(name, self.breakers.get(breaker_of(name), NEW))
                continue
            doorway.meet(name, self.settings(name), self.buckets.get(name, EMPTY), self._running[name])

    def count(self, gate: str, task_id: str, at: int | None = None) -> None:
        """Count a running task at a gate."""
        gates = self.passed.setdefault(task_id, {})
        if gate not in gates:
            gates[gate] = at
            self._running[gate] += 1

    def running(self, gate: str) -> int:
        """Return how many running tasks count at a gate."""
        return self._running[gate]

    def forget(self, gate: str) -> None:
        """Forget what has begun at a gate."""
        self.buckets.pop(gate, None)
        for gates in self.passed.values():
            if gate in gates:
                gates[gate] = None

    def leave(self, task_id: str, *, refund: bool) -> None:
        """Count a task no more; with `refund` it counts for no rate either."""
        for gate, at in self.passed.pop(task_id).items():
            self._running[gate] -= 1
            self.left[gate] += 1
            if refund and at is not None:
                self.buckets[gate] = give_back(self.buckets[gate], at)

    def take_left(self) -> Counter[str]:
        """Return how many have left each gate since the last time."""
        left, self.left = self.left, Counter()
        return left

    def forget_tenants(self, wall: int, limit: int) -> None:
        """Forget who was served long before `wall`, of the next `limit` tenants."""
        names = nsmallest(limit, [gate for gate in self.served if gate > self._looked_at])
        self._looked_at = names[-1] if len(names) == limit else ""
        for gate in names:
            if self.served[gate] <= wall - FORGOTTEN:
                del self.served[gate]

    def rows(self) -> tuple[LimitRow, ...]:
        """Return all gates that are stored or count anything."""
        names = sorted({*self.stored, *self.buckets, *(name for name, n in self._running.items() if n)})
        return tuple(
            LimitRow(name, *self.stored.get(name, ({}, {})), self._running[name], self.buckets.get(name, EMPTY))
            for name in names
        )
