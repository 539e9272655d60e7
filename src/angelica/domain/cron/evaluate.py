"""The fires of a trigger: the next, the last, and those of a stretch of time, in microseconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from angelica.clock import SECOND
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.fire import fire_from, fire_until
from angelica.domain.cron.interval import Every
from angelica.domain.cron.once import Once
from angelica.domain.cron.problem import problem
from angelica.domain.cron.repeat import Repeat
from angelica.domain.cron.zones import HORIZON

Trigger = Cron | Every | Repeat | Once


def next_after(trigger: Trigger, moment: int) -> int | None:
    """Return the first fire strictly after `moment`, or None if there are no more.

    The calendar runs from the epoch to the end of the year 9998 (UTC).
    """
    if isinstance(trigger, Cron):
        second = fire_from(trigger, moment // SECOND + 1)
        return None if second is None else second * SECOND
    found = trigger.next_after(moment)
    return found if found is not None and found < HORIZON * SECOND else None


def previous_before(trigger: Trigger, moment: int) -> int | None:
    """Return the last fire strictly before `moment`, or None if there is none since the epoch."""
    moment = min(moment, HORIZON * SECOND)
    if isinstance(trigger, Cron):
        second = fire_until(trigger, (moment - 1) // SECOND)
        return None if second is None else second * SECOND
    return trigger.previous_before(moment)


def fires_between(trigger: Trigger, start: int, end: int) -> Iterator[int]:
    """Yield the fires in [start, end), oldest first."""
    moment = next_after(trigger, start - 1)
    while moment is not None and moment < end:
        yield moment
        moment = next_after(trigger, moment)


def upcoming(trigger: Trigger, moment: int, count: int) -> list[int]:
    """Return the next `count` fires after `moment`, fewer where they end."""
    return list(islice(fires_between(trigger, moment + 1, HORIZON * SECOND), count))


def first_fire(trigger: Trigger, moment: int, *, pointer: str = "/cron") -> int:
    """Return the first fire after `moment`; raises `InvalidValue` with rule `no_future_fire` where there is none."""
    found = next_after(trigger, moment)
    if found is not None:
        return found
    if isinstance(trigger, Cron) and not trigger.possible:
        hint = "no month has such a day; use L for the last day of the month"
    elif previous_before(trigger, moment + 1) is not None:
        hint = "its last fire has passed"
    else:
        hint = "nothing that it names is still to come"
    token = "" if isinstance(trigger, Every) else trigger.normal
    raise problem("the schedule never fires", "no_future_fire", token=token, hint=hint, pointer=pointer)
