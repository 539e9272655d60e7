"""What a claim may take where there are limits: the gates as they stand, judged the same way for every storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from angelica.clock import Now
from angelica.domain.breaker import Breaker
from angelica.domain.claims import AGEING, rank_levels
from angelica.domain.fair import NEVER, served_again
from angelica.domain.gates import gates_of, parent_of, parts_of
from angelica.domain.limits import Bucket, LimitSettings, allowance, charge, frees_at, settings_of
from angelica.domain.task import Lease, NewTask
from angelica.storage.breaker_rules import Fuse, breaker_of

VERSION: Final = "limits"
"""The row of `meta` that says that there are gates (limits or breakers), and which edition of them."""
WINDOW: Final = 200
"""How many rows of a lane are looked at once one of them may not begin: those behind it are held with it."""
MOST_HELD: Final = 2_000
"""How many rows one claim holds at most; the next one goes on."""
_MANY: Final = 1 << 40
_SETTINGS: Final = frozenset({"max_running", "rate", "paused", "max_depth", "ageing", "fair"})


class Gate:
    """One gate: its settings, its counter, and how many it has let through that still run."""

    __slots__ = ("begun", "bucket", "running", "settings")

    def __init__(self, settings: LimitSettings, bucket: Bucket, running: int) -> None:
        self.settings = settings
        self.bucket = bucket
        self.running = running
        self.begun = 0

    def room(self, now: Now) -> int:
        """Return how many more it lets through."""
        running = self.running + self.begun
        return allowance(self.settings, self.charged(now), running=running, wanted=_MANY, now=now)

    def charged(self, now: Now) -> Bucket:
        """Return the counter with what has begun in this call."""
        rate = self.settings.rate
        return self.bucket if rate is None or not self.begun else charge(self.bucket, rate, self.begun, now=now)

    def frees_at(self, now: Now) -> int | None:
        """Return when its rate lets the next one through, None if it is not the rate that keeps it."""
        return frees_at(self.settings, self.charged(now), now=now)


class Doorway:
    """The gates that one claim has met. Those that limit nothing are known as None."""

    def __init__(self, now: Now) -> None:
        self.now = now
        self.known: dict[str, Gate | Fuse | None] = {}
        self.passes: list[tuple[str, str, int | None]] = []
        self.parked = 0
        self.wake: Counter[str] = Counter()
        self.served: dict[str, int] = {}
        self.running: Counter[str] = Counter()
        self._ageing: dict[str, int] = {}
        self._fair: dict[str, str] = {}
        self._before: dict[str, int] = {}

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that have not been met, each once."""
        return [name for name in dict.fromkeys(names) if name not in self.known]

    def meet(self, name: str, settings: LimitSettings, bucket: Bucket, running: int) -> None:
        """Take note of a gate."""
        self.known[name] = Gate(settings, bucket, running) if settings.gates else None
        if settings.ageing is not None:
            self._ageing[name] = settings.ageing
        if settings.fair is not None:
            self._fair[name] = settings.fair

    def meet_breaker(self, name: str, breaker: Breaker) -> None:
        """Take note of a breaker, by the name of its gate."""
        self.known[name] = Fuse(breaker)

    def queue_room(self, queue: str) -> int:
        """Return how many of a queue may begin."""
        gate = self.known.get(f"queue:{queue}")
        return _MANY if gate is None else gate.room(self.now)

    def ageing(self, queue: str) -> int:
        """Return the ageing of a queue that has been met."""
        return self._ageing.get(f"queue:{queue}", AGEING)

    def fair(self, queue: str) -> str | None:
        """Return the header that names the tenants of a queue that has been met, None if it is not shared by them."""
        return self._fair.get(f"queue:{queue}")

    def served_of(self, before: Mapping[str, int]) -> dict[str, int]:
        """Return when tenants were served last, by gate, this claim included; `before` is how it was before."""
        self._before.update(before)
        return {**before, **self.served}

    def serve(self, gate: str, task_id: str) -> None:
        """Count a task of a fair queue at its tenant's gate."""
        self.passes.append((gate, task_id, None))
        self.running[gate] += 1
        self.served[gate] = served_again(self.served.get(gate, self._before.get(gate, NEVER)), now=self.now)

    def shut(self, task: NewTask) -> str | None:
        """Return the first gate that holds a task back, but its queue's: a queue is never looked at beyond its room.

        Whoever is held at one gate makes no use of the room at the others: `wake` counts whom else they can let go.
        """
        names = gates_of(task)[1:]
        gates = [(name, self.known[name]) for name in names]
        rooms = [(name, gate.room(self.now)) for name, gate in gates if gate is not None]
        held = next((name for name, room in rooms if room <= 0), None)
        if held is not None:
            self.parked += 1
            self.wake.update(name for name, room in rooms if room > 0)
        return held

    def enter(self, task: NewTask, attempt: int) -> None:
        """Let an attempt of a task through all its gates."""
        for name in gates_of(task):
            gate = self.known[name]
            if isinstance(gate, Fuse):
                gate.enter(Lease(task.id, attempt), self.now)
            elif gate is not None:
                gate.begun += 1
                self.passes.append((name, task.id, None if gate.settings.rate is None else self.now.wall))

    def charged(self) -> dict[str, Bucket]:
        """Return the counters that have changed."""
        gates = [(name, gate) for name, gate in self.known.items() if isinstance(gate, Gate)]
        return {n: gate.charged(self.now) for n, gate in gates if gate.begun and gate.settings.rate is not None}

    def tried(self) -> dict[str, Breaker]:
        """Return the breakers, by name, that have let a probe through."""
        fuses = [(name, gate) for name, gate in self.known.items() if isinstance(gate, Fuse)]
        return {breaker_of(name): fuse.breaker for name, fuse in fuses if fuse.breaker is not fuse.met}


def effective(own: Stored | None, parent: Stored | None) -> LimitSettings:
    """Return what holds at a gate, field by field: set on it, on what it is a key of, or declared."""
    parts = [row for row in (own, parent) if row is not None]
    return settings_of(*(row[1] for row in parts), *(row[0] for row in parts))


Stored = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What is stored of a gate: what code declares and what an operator has set."""


def changed(override: Mapping[str, Any], changes: Mapping[str, Any], *, by: str, now: Now) -> dict[str, Any]:
    """Return what an operator has set after `changes`, with who did it and when; None takes a field back."""
    known = {**override, **changes}
    if "reason" not in changes:
        known.pop("reason", None)
    return {**{name: value for name, value in known.items() if value is not None}, "by": by, "at": now.wall}


def with_parents(names: Iterable[str]) -> list[str]:
    """Return gates with those that they are keys of, each once."""
    found = dict.fromkeys(names)
    found.update(dict.fromkeys(parent for name in list(found) if (parent := parent_of(name)) is not None))
    return list(found)


def governs(name: str, rows: Mapping[str, Stored]) -> bool:
    """Whether a gate limits anything, as `rows` of it and its parent stand."""
    parent = parent_of(name)
    return effective(rows.get(name), None if parent is None else rows.get(parent)).gates


def first_of(rows: Sequence[tuple[int, int, str]], count: int, *, now: Now) -> list[str]:
    """Return the ids of the first `count` in the order of claim; rows are (priority, `run_at`, id)."""
    levels: dict[int, list[tuple[int, str]]] = {}
    for priority, run_at, task_id in rows:
        levels.setdefault(priority, []).append((run_at, task_id))
    order = rank_levels([("", priority, min(level)[0]) for priority, level in levels.items()], now=now)
    found = [task_id for _, priority in order for _, task_id in sorted(levels[priority])]
    return found[:count]


def is_idle(override: Mapping[str, Any]) -> bool:
    """Whether an operator's part says nothing any more."""
    return _SETTINGS.isdisjoint(override)


def is_queue(name: str) -> bool:
    """Whether a gate is that of a queue."""
    return parts_of(name)[0] == "queue"
