"""The backlog of a schedule: what has fallen due since its last pass, and which of that the catch-up policy wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from angelica.domain.cron.count import count_between
from angelica.domain.cron.evaluate import Trigger, fires_between, previous_before
from angelica.domain.schedule import CatchUp, Rules, Schedule, Skipped, SkipReason
from angelica.domain.trigger import evaluator, is_delay


@dataclass(frozen=True, slots=True)
class Backlog:
    """The fires in [first, end): the stored one, then those of the trigger (None: there is no second).

    The first is a fact of the store: it stands even where the trigger, with newer rules of its time zone, would not
    fire there. Nothing here grows with the number of fires but what `between` and `newest` hand out.
    """

    trigger: Trigger | None
    first: int
    end: int

    def until(self, end: int) -> Backlog:
        """Return the part before `end`."""
        return replace(self, end=min(self.end, end))

    def between(self, start: int, end: int) -> Iterator[int]:
        """Yield the fires in [start, end), oldest first."""
        end = min(end, self.end)
        if start <= self.first < end:
            yield self.first
        if self.trigger is not None:
            yield from fires_between(self.trigger, max(start, self.first + 1), end)

    def newest(self, start: int, end: int, limit: int) -> list[int]:
        """Return the newest fires in [start, end), at most `limit`, oldest first."""
        found: list[int] = []
        moment = self._before(end)
        while moment is not None and moment >= start and len(found) < limit:
            found.append(moment)
            moment = self._before(moment)
        return found[::-1]

    def count(self, start: int, end: int) -> int:
        """Return the number of fires in [start, end)."""
        end = min(end, self.end)
        later = 0 if self.trigger is None else count_between(self.trigger, max(start, self.first + 1), end)
        return later + (start <= self.first < end)

    def span(self, reason: SkipReason, start: int, end: int) -> tuple[Skipped, ...]:
        """Return the fires in [start, end) as one span, or nothing where there are none."""
        end = min(end, self.end)
        first = next(self.between(start, end), None)
        last = self._before(end)
        if first is None or last is None:
            return ()
        return (Skipped(reason, first, last, self.count(start, end)),)

    def _before(self, moment: int) -> int | None:
        moment = min(moment, self.end)
        if moment <= self.first:
            return None
        found = None if self.trigger is None else previous_before(self.trigger, moment)
        return found if found is not None and found > self.first else self.first


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fires that are to run, oldest first: those before `missed_until` are missed ones, `missed` counts all of those.

    `skipped` are the missed ones that do not run; `rest` is the first fire that this pass leaves to the next one.
    """

    fires: tuple[int, ...]
    missed_until: int
    missed: int = 0
    skipped: tuple[Skipped, ...] = ()
    rest: int | None = None


def backlog_of(schedule: Schedule, first: int, *, wall: int) -> Backlog:
    """Return the fires of `schedule` from `first` (its `next_fire_at`) up to the moment `wall`, within its bounds."""
    end = wall + 1 if schedule.rules.end_at is None else min(wall + 1, schedule.rules.end_at)
    return Backlog(None if is_delay(schedule) else evaluator(schedule), first, end)


def wanted_of(backlog: Backlog, rules: Rules, *, wall: int, limit: int) -> Wanted:
    """Return what catch-up wants of a backlog at the moment `wall`, at most `limit` of it at once."""
    missed_until = max(backlog.first, min(wall - rules.grace, backlog.end))
    fires = list(islice(backlog.between(missed_until, backlog.end), limit + 1))
    missed = backlog.count(backlog.first, missed_until)
    kept, skipped = _kept(backlog, rules, missed_until, wall=wall, on_time=bool(fires))
    chosen = (*kept, *fires)
    rest = chosen[limit] if len(chosen) > limit else None
    return Wanted(chosen[:limit], missed_until, missed, skipped, rest)


def _kept(
    backlog: Backlog, rules: Rules, missed_until: int, *, wall: int, on_time: bool
) -> tuple[list[int], tuple[Skipped, ...]]:
    """Return the missed fires that run, and the others."""
    if missed_until <= backlog.first:
        return [], ()
    window = backlog.first if rules.catchup_window is None else max(backlog.first, wall - rules.catchup_window)
    window = min(window, missed_until)
    limits = {CatchUp.SKIP: 0, CatchUp.LATEST: 0 if on_time else 1, CatchUp.ALL: rules.max_catchup}
    kept = backlog.newest(window, missed_until, limits[rules.catch_up])
    until = kept[0] if kept else missed_until
    if rules.catch_up is not CatchUp.ALL:
        return kept, backlog.span(SkipReason.MISSED, backlog.first, until)
    outside = backlog.span(SkipReason.MISSED, backlog.first, window)
    return kept, (*outside, *backlog.span(SkipReason.CAPPED, window, until))
