"""A parsed cron expression: bit masks of its fields, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from angelica.domain.cron.days import SHAPES, Days, month_lengths, month_table
from angelica.domain.cron.fields import YEAR, bits, lowest
from angelica.domain.cron.zones import Zone

LAST_YEAR: Final = 9998


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a zone. Two that fire at the same local times by the same rules are equal.

    Masks hold a bit for each value that matches; `years` counts from 1970 and is None where every year matches.
    `fixed` says that neither the minute nor the hour field begins with `*`: such an expression runs once a day in
    whatever the clocks do, others follow real time. `normal` is the text with macros replaced and seconds first.
    """

    seconds: int
    minutes: int
    hours: int
    days: Days
    months: int
    years: int | None
    zone: Zone
    fixed: bool
    normal: str = field(default="", compare=False)
    table: tuple[int, ...] = field(init=False, compare=False, repr=False)
    first_second: int = field(init=False, compare=False, repr=False)
    first_minute: int = field(init=False, compare=False, repr=False)
    first_time: int = field(init=False, compare=False, repr=False)
    last_second: int = field(init=False, compare=False, repr=False)
    last_minute: int = field(init=False, compare=False, repr=False)
    last_time: int = field(init=False, compare=False, repr=False)
    possible: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        table = month_table(self.days)
        put(self, "table", table)
        put(self, "first_second", lowest(self.seconds))
        put(self, "first_minute", lowest(self.minutes) * 60 + self.first_second)
        put(self, "first_time", lowest(self.hours) * 3600 + self.first_minute)
        put(self, "last_second", self.seconds.bit_length() - 1)
        put(self, "last_minute", (self.minutes.bit_length() - 1) * 60 + self.last_second)
        put(self, "last_time", (self.hours.bit_length() - 1) * 3600 + self.last_minute)
        lengths = {length for month in bits(self.months) for length in month_lengths(month)}
        put(self, "possible", any(table[shape] for shape in range(SHAPES) if 28 + shape % 4 in lengths))

    def year_from(self, year: int) -> int | None:
        """Return the first year that matches, from `year` on."""
        if self.years is None:
            return year if year <= LAST_YEAR else None
        ahead = self.years >> max(year - YEAR.low, 0)
        return max(year, YEAR.low) + lowest(ahead) if ahead else None

    def year_until(self, year: int) -> int | None:
        """Return the last year that matches, up to `year`; the calendar begins a year before the epoch."""
        if self.years is None:
            return min(year, LAST_YEAR) if year >= YEAR.low - 1 else None
        behind = self.years & ((1 << max(year - YEAR.low + 1, 0)) - 1)
        return YEAR.low + behind.bit_length() - 1 if behind else None
