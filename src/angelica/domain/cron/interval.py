"""Fixed-rate intervals on a grid of elapsed time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Every:
    """Fires at anchor + k * period (microseconds, the anchor since the epoch).

    k counts from 0, or from 1 with `skip_anchor`: a schedule with a start fires at its start, one without is
    anchored at its creation and fires a period later.
    """

    period: int
    anchor: int = 0
    skip_anchor: bool = False

    def next_after(self, moment: int) -> int:
        """Return the first fire after `moment`."""
        return self.anchor + self.number_from(moment + 1) * self.period

    def previous_before(self, moment: int) -> int | None:
        """Return the last fire before `moment`."""
        k = (moment - 1 - self.anchor) // self.period
        return self.anchor + k * self.period if k >= (1 if self.skip_anchor else 0) else None

    def number_from(self, moment: int) -> int:
        """Return k of the first fire from `moment` on."""
        return max(-((self.anchor - moment) // self.period), 1 if self.skip_anchor else 0)
