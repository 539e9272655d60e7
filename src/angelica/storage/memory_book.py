"""The memory storage's schedules: definitions, those that are due in order, the history of fires, and tombstones."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from angelica.clock import Now
from angelica.domain.fire import delete_at
from angelica.domain.schedule import FireRecord, Phase, Schedule
from angelica.storage.schedule_rules import keep_fires, slot_of

Key = tuple[int, str]


class History:
    """The fire records of one schedule, by (fire time, slot), each with when it may be pruned."""

    __slots__ = ("keys", "records")

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.records: dict[Key, tuple[FireRecord, int]] = {}

    def put(self, key: Key, record: FireRecord, keep_until: int) -> None:
        if key not in self.records:
            insort(self.keys, key)
        self.records[key] = (record, keep_until)

    def drop(self, key: Key) -> None:
        del self.records[key]
        del self.keys[bisect_left(self.keys, key)]

    def before(self, moment: int | None) -> Iterable[FireRecord]:
        """Go through the records with a fire time before `moment`, the newest first."""
        end = len(self.keys) if moment is None else bisect_left(self.keys, (moment, ""))
        return (self.records[key][0] for key in reversed(self.keys[:end]))

    def between(self, start: int, end: int) -> Iterable[FireRecord]:
        """Go through the records with a fire time in [start, end)."""
        keys = self.keys[bisect_left(self.keys, (start, "")) : bisect_left(self.keys, (end, ""))]
        return (self.records[key][0] for key in keys)


class Book:
    """Not thread-safe: the storage holds its lock around every call."""

    def __init__(self) -> None:
        self.schedules: dict[str, Schedule] = {}
        self.tombstones: set[str] = set()
        self._histories: dict[str, History] = {}
        self._due: list[tuple[int, str]] = []
        self._outdated: list[tuple[int, str, Key]] = []
        self._ending: set[str] = set()
        self._names: list[str] | None = None

    def put(self, schedule: Schedule) -> None:
        """Store a schedule as it stands now."""
        if schedule.id not in self.schedules:
            self._names = None
            self.tombstones.discard(schedule.id)
        self.schedules[schedule.id] = schedule
        if schedule.phase is Phase.ACTIVE and schedule.next_fire_at is not None:
            heappush(self._due, (schedule.next_fire_at, schedule.id))
        if delete_at(schedule) is None:
            self._ending.discard(schedule.id)
        else:
            self._ending.add(schedule.id)

    def delete(self, schedule_id: str) -> bool:
        """Delete a schedule with its history."""
        if self.schedules.pop(schedule_id, None) is None:
            return False
        self._names = None
        self._histories.pop(schedule_id, None)
        self._ending.discard(schedule_id)
        return True

    def names(self) -> Sequence[str]:
        """Return the ids in order."""
        if self._names is None:
            self._names = sorted(self.schedules)
        return self._names

    def due(self, wall: int, limit: int) -> list[Schedule]:
        """Return the active schedules that are due, the earliest first."""
        found: dict[tuple[int, str], Schedule] = {}
        while len(found) < limit and (head := self._head()) is not None and head[0] <= wall:
            found[head] = self.schedules[head[1]]
            heappop(self._due)
            while self._due and self._due[0] == head:
                heappop(self._due)
        for entry in found:
            heappush(self._due, entry)
        return list(found.values())

    def next_fire(self) -> int | None:
        """Return the earliest fire of an active schedule."""
        head = self._head()
        return None if head is None else head[0]

    def _head(self) -> tuple[int, str] | None:
        """Return the first live entry; one is dead if its schedule is gone, not active, or fires at another time."""
        while self._due:
            moment, name = self._due[0]
            schedule = self.schedules.get(name)
            if schedule is not None and schedule.phase is Phase.ACTIVE and schedule.next_fire_at == moment:
                return self._due[0]
            heappop(self._due)
        return None

    def record(self, record: FireRecord, *, now: Now, force: bool = False) -> None:
        """Write a record, in the place of one of the same slot."""
        schedule = self.schedules.get(record.schedule_id)
        if schedule is None:
            return
        key = (record.fire_time, slot_of(record, force=force))
        keep_until = now.wall + keep_fires(schedule.rules)
        self._histories.setdefault(record.schedule_id, History()).put(key, record, keep_until)
        heappush(self._outdated, (keep_until, record.schedule_id, key))

    def standing(self, record: FireRecord, *, force: bool = False) -> FireRecord | None:
        """Return what stands where this record would be written."""
        found = self.history(record.schedule_id).records.get((record.fire_time, slot_of(record, force=force)))
        return None if found is None else found[0]

    def history(self, schedule_id: str) -> History:
        """Return the history of a schedule, an empty one if it has none."""
        return self._histories.get(schedule_id) or History()

    def latest(self, schedule_id: str) -> FireRecord | None:
        """Return the latest record of a scheduled fire."""
        records = self.history(schedule_id).before(None)
        return next((record for record in records if record.kind == "scheduled"), None)

    def prune_fires(self, wall: int, limit: int) -> int:
        """Forget up to `limit` records past their time; return how many."""
        count = 0
        while self._outdated and self._outdated[0][0] <= wall and count < limit:
            until, schedule_id, key = heappop(self._outdated)
            history = self.history(schedule_id)
            if key in history.records and history.records[key][1] == until:
                history.drop(key)
                count += 1
        return count

    def ended(self, wall: int) -> list[str]:
        """Return the completed schedules that are past their `delete_after`."""
        return [name for name in self._ending if (delete_at(self.schedules[name]) or 0) <= wall]
