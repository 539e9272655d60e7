"""Placement: whether a task that says what it needs fits into a worker now, and which worker keeps itself free for it.

A claim takes only what fits beside what its worker has. So small tasks might pass a large one for ever: the first in
line that was due for 30 seconds gets a worker that starts no task with needs that comes after it until it fits. Nobody
writes this down. Every claim that meets such a task knows by the same function of what is stored whether its worker is
the one; when that dies, the next claim of another finds itself to be the one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from angelica.clock import MINUTE, SECOND, Now
from angelica.domain.claims import AGEING, effective_level, rank_levels
from angelica.domain.lanes import Offer, may_take, needs_of
from angelica.domain.resources import MANY, NOTHING_TAKEN, UNBOUNDED, Amount, Capacity

RESERVED_AFTER: Final = 30 * SECOND
"""How long a task was due before a worker keeps itself free for it."""

FIRST_TURN: Final = 5 * MINUTE
"""How long the first worker tries: what runs in it may take for ever. Each further one has twice the time."""


Place = tuple[str, str, int]
"""A level: its queue, lane and priority."""


class Head(NamedTuple):
    """The first ready task of a level: where it stands, and its `run_at`."""

    queue: str
    lane: str
    priority: int
    due: int


class Late(NamedTuple):
    """Which task was passed for too long: its `run_at`, queue, lane and priority."""

    due: int
    queue: str
    lane: str
    priority: int = 0


class Passed(NamedTuple):
    """A late task, and the levels that have their turn before it: they do not pass it by their size."""

    late: Late
    ahead: frozenset[Place]


class Peer(NamedTuple):
    """A live worker that is to run, as far as it may take a task: `queues` None means every queue."""

    worker: str
    offer: Offer
    queues: tuple[str, ...] | None = None
    select: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """What a worker gives to tasks that say what they need, and what they take of it now.

    `slots` are its free slots by kind of executor, None where those do not matter: such tasks are claimed for a free
    slot only, never ahead.
    """

    capacity: Capacity = UNBOUNDED
    taken: Amount = NOTHING_TAKEN
    slots: Mapping[str, int] | None = None


EVERYTHING: Final = Space()


def has_needs(lane: str) -> bool:
    """Whether the tasks of a lane say what they need of a machine."""
    return "@" in lane and needs_of(lane).amount != NOTHING_TAKEN


def first_late(
    heads: Iterable[Head], capacity: Capacity, *, now: Now, ageing: Callable[[str], int] = lambda _queue: AGEING
) -> Passed | None:
    """Return the task that a worker is to be kept free for, of those with needs for which it is large enough.

    In each queue (where tenants share it: of each tenant) it is the first in the order of claim that is late; of these
    the oldest. `ageing` is that of a queue.
    """
    lines: dict[tuple[str, str | None], dict[tuple[str, int], Head]] = {}
    for head in heads:
        if has_needs(head.lane):
            lines.setdefault((head.queue, needs_of(head.lane).tenant), {})[head.lane, head.priority] = head
    found = []
    for (queue, _), line in lines.items():
        ranks = [(head.lane, head.priority, head.due) for head in line.values()]
        ahead: list[Place] = []
        for lane, priority in rank_levels(ranks, now=now, ageing=ageing(queue)):
            due = line[lane, priority].due
            if due + RESERVED_AFTER <= now.wall and capacity.times(needs_of(lane).amount) > 0:
                found.append(Passed(Late(due, queue, lane, priority), frozenset(ahead)))
                break
            ahead.append((queue, lane, priority))
    return min(found, key=lambda passed: passed.late, default=None)


def reserver(late: Late, peers: Iterable[Peer], select: Mapping[str, str], *, now: Now) -> str | None:
    """Return the worker that keeps itself free for a late task, None without one.

    `select` is that of the worker that asks: those that choose among tasks by labels see others than the rest, so it
    reckons only with workers that see all that it sees. Each gets its turn, in an order of this task alone.
    """
    able = [
        peer.worker
        for peer in peers
        if may_take(late.lane, peer.offer)
        and (peer.queues is None or late.queue in peer.queues)
        and (peer.select or {}).items() <= select.items()
    ]
    order = sorted(able, key=lambda worker: (_lot(late, worker), worker))
    return order[_turn(now.wall - late.due - RESERVED_AFTER) % len(order)] if order else None


def _lot(late: Late, worker: str) -> bytes:
    """Draw a lot: the same for all who draw it, and another for the next task."""
    return sha256(f"{late.due}\0{late.queue}\0{late.lane}\0{worker}".encode()).digest()


def _turn(waited: int) -> int:
    """Return whose turn it is: that of the first for five minutes, then of the second for ten, and so on."""
    return (max(waited, 0) // FIRST_TURN + 1).bit_length() - 1


def goes_before(late: Late, queue: str, priority: int, due: int, *, now: Now, ageing: int = AGEING) -> bool:
    """Whether a task has its turn before a late one: it may then take what is free where that is waited for."""
    if queue != late.queue:
        return False
    mine, other = [
        effective_level(p, at, now=now, ageing=ageing) for p, at in ((priority, due), (late.priority, late.due))
    ]
    return (-mine, -priority, due) < (-other, -late.priority, late.due)


class Spare:
    """What of a worker's space one claim may still give away; `draw` takes from it.

    With `kept` the worker keeps itself free: where that one does not fit, no task with needs is taken that comes after
    it, and where it does, its room is not for those.
    """

    __slots__ = ("_ahead", "_drawn", "_space", "_taken", "kept")

    def __init__(self, space: Space, passed: Passed | None = None) -> None:
        self.kept = None if passed is None else passed.late
        self._ahead: frozenset[Place] = frozenset() if passed is None else passed.ahead
        self._space = space
        self._taken = space.taken
        self._drawn: dict[str, int] = {}

    def copy(self) -> Spare:
        """Return one that can be drawn from without changing this one."""
        made = Spare(self._space)
        made.kept, made._ahead = self.kept, self._ahead
        made._taken = self._taken
        made._drawn = dict(self._drawn)
        return made

    def most(self, queue: str, lane: str, priority: int | None = None) -> int:
        """Return how many tasks of a queue and lane may be taken: of this level, or of the one that may take most."""
        if not has_needs(lane):
            return MANY
        needs, kept, taken = needs_of(lane), self.kept, self._taken
        capacity = self._space.capacity
        if kept is not None and not self._comes_first(kept, queue, lane, priority):
            own = needs_of(kept.lane).amount
            if not capacity.times(own, taken):
                return 0
            taken = taken.plus(own)
        count = capacity.times(needs.amount, taken)
        if self._space.slots is None:
            return count
        return max(min(count, self._space.slots.get(needs.kind, 0) - self._drawn.get(needs.kind, 0)), 0)

    def _comes_first(self, kept: Late, queue: str, lane: str, priority: int | None) -> bool:
        """Whether a level has its turn before the late task, or is of its lane."""
        if (kept.queue, kept.lane) == (queue, lane):
            return True
        if priority is not None:
            return (queue, lane, priority) in self._ahead
        return any(place[:2] == (queue, lane) for place in self._ahead)

    def draw(self, queue: str, lane: str, count: int) -> None:
        """Take what so many tasks of a queue and lane need."""
        if count <= 0 or not has_needs(lane):
            return
        needs = needs_of(lane)
        self._taken = self._taken.plus(needs.amount, count)
        self._drawn[needs.kind] = self._drawn.get(needs.kind, 0) + count
        if self.kept is not None and (self.kept.queue, self.kept.lane) == (queue, lane):
            self.kept = None
