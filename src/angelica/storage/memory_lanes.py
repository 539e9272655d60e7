"""The memory storage's order: ready rows by queue, lane and priority, scheduled ones by due time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import count

from angelica.clock import Now
from angelica.domain.claims import AGEING, rank_levels
from angelica.domain.lanes import Offer, kind_of, may_take
from angelica.domain.placement import Spare, has_needs
from angelica.storage.memory_rows import Row

Entry = tuple[int, str, int, Row]

_SLACK = 1_000


class Heap:
    """Rows in order of (`run_at`, id), with lazy deletion: an entry is live while its row carries its ticket."""

    __slots__ = ("entries", "live")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.live = 0

    def head(self) -> Row | None:
        """Return the first live row without taking it."""
        entries = self.entries
        while entries:
            entry = entries[0]
            if entry[3].ticket == entry[2]:
                return entry[3]
            heappop(entries)
        return None

    def take(self, limit: int) -> list[Row]:
        """Take the first `limit` live rows."""
        entries = self.entries
        taken: list[Row] = []
        while entries and len(taken) < limit:
            _, _, ticket, row = heappop(entries)
            if row.ticket == ticket:
                row.ticket = 0
                taken.append(row)
        self.live -= len(taken)
        return taken

    def drop(self, row: Row) -> None:
        """Make the row's entry a dead one, and clear dead entries out when they are most of the heap."""
        row.ticket = 0
        self.live -= 1
        if len(self.entries) > 2 * self.live + _SLACK:
            self.entries = [entry for entry in self.entries if entry[3].ticket == entry[2]]
            heapify(self.entries)


class Lanes:
    """All ready rows: queue and lane, then priority, then a heap; and the scheduled ones in one heap."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], dict[int, Heap]] = {}
        self._needy: set[tuple[str, str]] = set()
        self._due = Heap()
        # A row that leaves and comes back may have a dead entry of the same (run_at, id): the ticket also keeps the
        # heap from comparing rows.
        self._tickets = count(1)

    def add_ready(self, row: Row) -> None:
        spec = row.spec
        levels = self._lanes.get((spec.queue, row.lane))
        if levels is None:
            levels = self._lanes[spec.queue, row.lane] = {}
            if has_needs(row.lane):
                self._needy.add((spec.queue, row.lane))
        lane = levels.get(spec.priority)
        if lane is None:
            lane = levels[spec.priority] = Heap()
        row.ticket = ticket = next(self._tickets)
        lane.live += 1
        heappush(lane.entries, (row.run_at, spec.id, ticket, row))

    def drop_ready(self, row: Row) -> None:
        spec = row.spec
        self._lanes[spec.queue, row.lane][spec.priority].drop(row)

    def add_due(self, row: Row) -> None:
        row.ticket = ticket = next(self._tickets)
        self._due.live += 1
        heappush(self._due.entries, (row.run_at, row.spec.id, ticket, row))

    def drop_due(self, row: Row) -> None:
        self._due.drop(row)

    def take_due(self, wall: int, limit: int) -> list[Row]:
        """Take up to `limit` scheduled rows whose `run_at` has come, oldest first."""
        taken: list[Row] = []
        while len(taken) < limit:
            row = self._due.head()
            if row is None or row.run_at > wall:
                break
            taken += self._due.take(1)
        return taken

    def next_due(self) -> int | None:
        """Return when the next scheduled row is due."""
        row = self._due.head()
        return None if row is None else row.run_at

    def all(self) -> Iterator[tuple[str, str]]:
        """Go through the (queue, lane) that have ready rows."""
        for key, levels in list(self._lanes.items()):
            if any(level.live for level in levels.values()):
                yield key
            else:
                del self._lanes[key]  # forgotten here, so that queues that come and go leave nothing behind
                self._needy.discard(key)

    def needy(self) -> list[tuple[str, str]]:
        """Return the (queue, lane) whose tasks say what they need of a machine; some may have no ready rows now."""
        return sorted(self._needy)

    def open_to(self, offer: Offer, kind: str) -> dict[str, list[str]]:
        """Return by queue the lanes of a kind that have ready rows and that a worker may take."""
        found: dict[str, list[str]] = {}
        for queue, lane in self.all():
            if kind_of(lane) == kind and may_take(lane, offer):
                found.setdefault(queue, []).append(lane)
        return found

    def ready(self, queue: str, lane: str) -> int:
        """Return how many rows are ready."""
        return sum([level.live for level in self._lanes.get((queue, lane), {}).values()])

    def heads(self, queue: str, lane: str) -> list[Row]:
        """Return the first ready row of each level of a lane."""
        heads = [level.head() for level in self._lanes.get((queue, lane), {}).values() if level.live]
        return [head for head in heads if head is not None]

    def take_ready(
        self,
        queue: str,
        lanes: Iterable[str],
        limit: int,
        spare: Spare,
        *,
        now: Now,
        ageing: int = AGEING,
        draws: bool = True,
    ) -> list[Row]:
        """Take up to `limit` ready rows of some lanes of a queue in the order of claim, of each level as many as fit.

        `draws`: those beside them have only what these leave.
        """
        heads = [
            (lane, priority, head.run_at)
            for lane in lanes
            for priority, level in self._lanes.get((queue, lane), {}).items()
            if level.live and (head := level.head()) is not None
        ]
        taken: list[Row] = []
        for lane, priority in rank_levels(heads, now=now, ageing=ageing):
            rows = self._lanes[queue, lane][priority].take(min(limit - len(taken), spare.most(queue, lane, priority)))
            if draws:
                spare.draw(queue, lane, len(rows))
            taken += rows
            if len(taken) == limit:
                break
        return taken

    def first(self, queue: str, lane: str, limit: int) -> list[Row]:
        """Return the first rows of a lane without regard to age: by priority, `run_at` and id."""
        rows = sorted(self.walk(queue, lane), key=lambda row: (-row.spec.priority, row.run_at, row.spec.id))
        return rows[:limit]

    def walk(self, queue: str, lane: str) -> Iterator[Row]:
        """Go through the ready rows of a lane, in no order."""
        for level in self._lanes.get((queue, lane), {}).values():
            yield from (entry[3] for entry in level.entries if entry[3].ticket == entry[2])

    def oldest(self) -> Row | None:
        """Return the ready row with the least (`run_at`, id) of all lanes."""
        heads = [lane.head() for levels in self._lanes.values() for lane in levels.values()]
        rows: Sequence[Row] = [row for row in heads if row is not None]
        return min(rows, key=lambda row: (row.run_at, row.spec.id), default=None)
