"""One moment, once."""

from __future__ import annotations

from dataclasses import dataclass

from angelica.domain.cron.zones import Zone


@dataclass(frozen=True, slots=True)
class Once:
    """Fires at `moment` (microseconds since the epoch); the zone says how to show it."""

    moment: int
    zone: Zone

    @property
    def normal(self) -> str:
        """Nothing was written that could be pointed at."""
        return ""

    def next_after(self, moment: int) -> int | None:
        """Return the fire if it is after `moment`."""
        return self.moment if self.moment > moment else None

    def previous_before(self, moment: int) -> int | None:
        """Return the fire if it is before `moment`."""
        return self.moment if self.moment < moment else None
