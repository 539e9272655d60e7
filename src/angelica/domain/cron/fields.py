"""The seven fields of a cron expression, and the bit masks that hold their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its code, its least and greatest value, the names of its values, and the unit of its steps."""

    name: str
    low: int
    high: int
    unit: str = ""
    names: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    @property
    def full(self) -> int:
        """The mask of all values."""
        return ((1 << self.size) - 1) << self.low

    @property
    def hint(self) -> str:
        """What a value may be."""
        if self is WEEKDAY:
            return "values are 0-7 (0 and 7 are Sunday) or SUN-SAT"
        names = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"values are {self.low}-{self.high}{names}"


MONTH_NAMES: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAY_NAMES: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

SECOND: Final = Field("second", 0, 59, "s")
MINUTE: Final = Field("minute", 0, 59, "m")
HOUR: Final = Field("hour", 0, 23, "h")
DAY: Final = Field("day_of_month", 1, 31, "d")
MONTH: Final = Field("month", 1, 12, "", MONTH_NAMES)
WEEKDAY: Final = Field("day_of_week", 0, 6, "d", DAY_NAMES)
YEAR: Final = Field("year", 1970, 2199)

FIELDS: Final = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR)


def mask_of(values: Iterable[int]) -> int:
    """Return the mask with the bits `values` set."""
    mask = 0
    for value in values:
        mask |= 1 << value
    return mask


def bits(mask: int) -> Iterator[int]:
    """Yield the set bits of `mask`, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def lowest(mask: int) -> int:
    """Return the lowest set bit of a mask that is not 0."""
    return (mask & -mask).bit_length() - 1
