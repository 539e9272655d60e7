"""When a cron expression fires in its zone: local matches carried over the edges where the clocks change.

A wild expression fires at every real second whose local time matches. A fixed one fires once for each local time: in
the first pass where local time repeats, and right after a gap (of up to three hours) for all that the gap skipped.
"""

from __future__ import annotations

from typing import Final

from angelica.domain.cron.expression import Cron
from angelica.domain.cron.walk import local_from, local_until
from angelica.domain.cron.zones import DAY_SECONDS, HORIZON, Segment

LONGEST_GAP: Final = 3 * 3600
"""Gaps up to this long (seconds) are made good; a skipped day, as in Samoa in 2011, is not."""

# Clocks repeat or skip a day at most, and no offset reaches a day: two days from an edge it cannot be felt.
_FAR: Final = 2 * DAY_SECONDS


def fire_from(cron: Cron, moment: int) -> int | None:
    """Return the first fire from `moment` on, in seconds since the epoch."""
    at = max(moment, 0)
    segment = cron.zone.segment(at)
    while segment is not None:
        low = at + segment.offset
        if cron.fixed:
            if at == segment.start and makes_good(cron, segment):
                return at
            low = max(low, segment.fresh)
        found = local_from(cron, low)
        end = segment.end
        if found is not None and found < end + segment.offset:
            return found - segment.offset
        if end - at >= _FAR:  # no later edge can bring back a local time before `low`
            if found is None:
                return None
            end = max(end, found - _FAR)
        at = end
        segment = cron.zone.segment(at)
    return None


def fire_until(cron: Cron, moment: int) -> int | None:
    """Return the last fire up to `moment`, in seconds since the epoch; there is none before the epoch."""
    at = min(moment, HORIZON - 1)
    segment = cron.zone.segment(at)
    while segment is not None:
        low = segment.start + segment.offset
        if cron.fixed:
            low = max(low, segment.fresh)
        found = local_until(cron, at + segment.offset)
        if found is not None and found >= low:
            return found - segment.offset
        if cron.fixed and makes_good(cron, segment):
            return segment.start
        before = segment.start - 1
        if at - segment.start >= _FAR:
            if found is None:
                return None
            before = min(before, found + _FAR)
        at = before
        segment = cron.zone.segment(at)
    return None


def makes_good(cron: Cron, segment: Segment) -> bool:
    """Say whether a local time that the gap before `segment` skipped matches."""
    shown = segment.start + segment.offset
    if not 0 < shown - segment.fresh <= LONGEST_GAP:
        return False
    skipped = local_from(cron, segment.fresh)
    return skipped is not None and skipped < shown
