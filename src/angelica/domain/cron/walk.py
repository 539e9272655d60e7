"""The nearest local time that an expression matches, on clocks that never change: bit masks and calendar arithmetic.

Local times are whole seconds since 1970-01-01 00:00 as the clocks show it.
"""

from __future__ import annotations

from datetime import date

from angelica.domain.cron.days import month_shape
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.fields import lowest
from angelica.domain.cron.zones import DAY_SECONDS, EPOCH_DAY


def local_from(cron: Cron, local: int) -> int | None:
    """Return the first local time that matches, from `local` on; None if there is none before the year 9999."""
    day, time = divmod(local, DAY_SECONDS)
    found = _day_from(cron, day + EPOCH_DAY)
    if found is None:
        return None
    if found == day + EPOCH_DAY:
        later = _time_from(cron, time)
        if later >= 0:
            return day * DAY_SECONDS + later
        found = _day_from(cron, found + 1)
        if found is None:
            return None
    return (found - EPOCH_DAY) * DAY_SECONDS + cron.first_time


def local_until(cron: Cron, local: int) -> int | None:
    """Return the last local time that matches, up to `local`; None if there is none since 1969."""
    day, time = divmod(local, DAY_SECONDS)
    found = _day_until(cron, day + EPOCH_DAY)
    if found is None:
        return None
    if found == day + EPOCH_DAY:
        earlier = _time_until(cron, time)
        if earlier >= 0:
            return day * DAY_SECONDS + earlier
        found = _day_until(cron, found - 1)
        if found is None:
            return None
    return (found - EPOCH_DAY) * DAY_SECONDS + cron.last_time


def _time_from(cron: Cron, time: int) -> int:
    """Return the first second of the day that matches, from `time` on, or -1."""
    hour, rest = divmod(time, 3600)
    if cron.hours >> hour & 1:
        minute, second = divmod(rest, 60)
        if cron.minutes >> minute & 1:
            ahead = cron.seconds >> second
            if ahead:
                return time + lowest(ahead)
        ahead = cron.minutes >> (minute + 1)
        if ahead:
            return hour * 3600 + (minute + 1 + lowest(ahead)) * 60 + cron.first_second
    ahead = cron.hours >> (hour + 1)
    if ahead:
        return (hour + 1 + lowest(ahead)) * 3600 + cron.first_minute
    return -1


def _time_until(cron: Cron, time: int) -> int:
    """Return the last second of the day that matches, up to `time`, or -1."""
    hour, rest = divmod(time, 3600)
    if cron.hours >> hour & 1:
        minute, second = divmod(rest, 60)
        if cron.minutes >> minute & 1:
            behind = cron.seconds & ((2 << second) - 1)
            if behind:
                return hour * 3600 + minute * 60 + behind.bit_length() - 1
        behind = cron.minutes & ((1 << minute) - 1)
        if behind:
            return hour * 3600 + (behind.bit_length() - 1) * 60 + cron.last_second
    behind = cron.hours & ((1 << hour) - 1)
    if behind:
        return (behind.bit_length() - 1) * 3600 + cron.last_minute
    return -1


def _day_from(cron: Cron, ordinal: int) -> int | None:
    """Return the first day that matches, from `ordinal` on."""
    if not cron.possible:
        return None
    when = date.fromordinal(ordinal)
    month = when.month
    year = cron.year_from(when.year)
    if year is None:
        return None
    if year != when.year:
        month = 0
    elif cron.months >> month & 1:
        ahead = cron.table[month_shape(year, month)] >> when.day
        if ahead:
            return ordinal + lowest(ahead)
    while True:
        ahead = cron.months >> (month + 1)
        if ahead:
            month += 1 + lowest(ahead)
            mask = cron.table[month_shape(year, month)]
            if mask:
                return date(year, month, lowest(mask)).toordinal()
        else:
            year = cron.year_from(year + 1)
            if year is None:
                return None
            month = 0


def _day_until(cron: Cron, ordinal: int) -> int | None:
    """Return the last day that matches, up to `ordinal`."""
    if not cron.possible:
        return None
    when = date.fromordinal(ordinal)
    month = when.month
    year = cron.year_until(when.year)
    if year is None:
        return None
    if year != when.year:
        month = 13
    elif cron.months >> month & 1:
        behind = cron.table[month_shape(year, month)] & ((2 << when.day) - 1)
        if behind:
            return ordinal - when.day + behind.bit_length() - 1
    while True:
        behind = cron.months & ((1 << month) - 1)
        if behind:
            month = behind.bit_length() - 1
            mask = cron.table[month_shape(year, month)]
            if mask:
                return date(year, month, mask.bit_length() - 1).toordinal()
        else:
            year = cron.year_until(year - 1)
            if year is None:
                return None
            month = 13
