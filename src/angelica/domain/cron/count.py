"""How many fires a stretch of time holds, by calendar arithmetic: a year of them costs no more than a day."""

from __future__ import annotations

from datetime import date

from angelica.clock import SECOND
from angelica.domain.cron.days import month_shape
from angelica.domain.cron.evaluate import Trigger, fires_between
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.fire import makes_good
from angelica.domain.cron.interval import Every
from angelica.domain.cron.once import Once
from angelica.domain.cron.repeat import Repeat
from angelica.domain.cron.zones import DAY_SECONDS, EPOCH_DAY, HORIZON


def count_between(trigger: Trigger, start: int, end: int) -> int:
    """Return the number of fires in [start, end), in microseconds since the epoch."""
    end = min(end, HORIZON * SECOND)
    if start >= end:
        return 0
    if isinstance(trigger, Cron):
        return _cron(trigger, -(-start // SECOND), -(-end // SECOND))
    if isinstance(trigger, Every):
        return trigger.number_from(end) - trigger.number_from(start)
    if isinstance(trigger, Once):
        return int(start <= trigger.moment < end)
    return _repeat(trigger, start, end)


def _repeat(repeat: Repeat, start: int, end: int) -> int:
    """Count steps of elapsed time at once, and walk those of the calendar: they are a day long or more."""
    step = repeat.step
    if step.months or step.days:
        return sum(1 for _ in fires_between(repeat, start, end))
    low = max(-(-(start - repeat.start) // step.elapsed), 0)
    high = max(-(-(end - repeat.start) // step.elapsed), 0)
    if repeat.count is not None:
        low, high = min(low, repeat.count), min(high, repeat.count)
    return high - low


def _cron(cron: Cron, start: int, end: int) -> int:
    """Count the fires in [start, end), in seconds since the epoch, as `fire_from` would find them."""
    count = 0
    at = max(start, 0)
    while at < end:
        segment = cron.zone.segment(at)
        if segment is None:
            break
        low = at + segment.offset
        if cron.fixed:
            if at == segment.start and makes_good(cron, segment):
                count += 1
                low += 1
            low = max(low, segment.fresh)
        count += _local(cron, low, min(end, segment.end) + segment.offset)
        at = segment.end
    return count


def _local(cron: Cron, low: int, high: int) -> int:
    """Count the local times in [low, high) that match."""
    if low >= high:
        return 0
    (day, time), (last, until) = divmod(low, DAY_SECONDS), divmod(high, DAY_SECONDS)
    if day == last:
        return _days(cron, day, day + 1) and _times(cron, until) - _times(cron, time)
    whole = _times(cron, DAY_SECONDS)
    count = _days(cron, day, day + 1) * (whole - _times(cron, time))
    count += _days(cron, day + 1, last) * whole
    return count + (_days(cron, last, last + 1) * _times(cron, until) if until else 0)


def _times(cron: Cron, time: int) -> int:
    """Count the seconds of a day before `time` that match."""
    hour, rest = divmod(time, 3600)
    minute, second = divmod(rest, 60)
    seconds = cron.seconds.bit_count()
    count = _below(cron.hours, hour) * cron.minutes.bit_count() * seconds
    if cron.hours >> hour & 1:
        count += _below(cron.minutes, minute) * seconds
        if cron.minutes >> minute & 1:
            count += _below(cron.seconds, second)
    return count


def _days(cron: Cron, first: int, end: int) -> int:
    """Count the days in [first, end) that match, in days since the epoch."""
    count = 0
    while first < end:
        when = date.fromordinal(first + EPOCH_DAY)
        year, month = when.year, when.month
        following = date(year + month // 12, month % 12 + 1, 1).toordinal() - EPOCH_DAY
        if cron.months >> month & 1 and cron.year_from(year) == year:
            mask = cron.table[month_shape(year, month)] >> when.day
            count += (mask & ((1 << (min(end, following) - first)) - 1)).bit_count()
        first = following
    return count


def _below(mask: int, value: int) -> int:
    return (mask & ((1 << value) - 1)).bit_count()
