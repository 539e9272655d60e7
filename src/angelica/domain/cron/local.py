"""A moment as the clocks of a zone show it, with what a reader must know where those clocks change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from angelica.clock import SECOND
from angelica.domain.cron.zones import EPOCH, Segment, Zone

Mark = Literal["after_gap", "first_pass", "second_pass"]


@dataclass(frozen=True, slots=True)
class Local:
    """A moment on the clocks of a zone: `text` (`2026-10-25T02:30:00`), `offset` (`+01:00`) and what is special.

    `mark` is `after_gap` for the first second after the clocks went forward, `first_pass` and `second_pass` for a
    local time that the day shows twice, else None.
    """

    text: str
    offset: str
    mark: Mark | None = None


def local_of(zone: Zone, moment: int) -> Local:
    """Return how the clocks of `zone` show `moment` (microseconds since the epoch)."""
    second, rest = divmod(moment, SECOND)
    segment = zone.segment(second)
    offset = zone.offset(second) if segment is None else segment.offset
    shown = EPOCH + timedelta(seconds=second + offset)
    text = shown.isoformat()[:19] + (f".{rest:06}".rstrip("0") if rest else "")
    mark = None if segment is None else _mark(zone, segment, second)
    return Local(text, offset_text(offset), mark)


def offset_text(offset: int) -> str:
    """Return an offset in seconds as `+08:00` (`+00:19:32` where it has seconds)."""
    hours, rest = divmod(abs(offset), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")


def _mark(zone: Zone, segment: Segment, second: int) -> Mark | None:
    local = second + segment.offset
    if local < segment.fresh:
        return "second_pass"
    if second == segment.start and local > segment.fresh:
        return "after_gap"
    following = zone.segment(segment.end)
    if following is not None and local >= following.start + following.offset:
        return "first_pass"
    return None
