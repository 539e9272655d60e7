"""The one clock that all processes of a file share: the host's boot-time clock and an offset stored in the file."""

from __future__ import annotations

import warnings
from typing import Final

from angelica.clock import MILLISECOND, Clock, Now, SystemClock, boot_id, system_wall_offset
from angelica.storage.rows import from_json, to_json
from angelica.storage.verbs.transaction import Transaction

APART: Final = 500 * MILLISECOND
_KEY: Final = "clock"


class StoreClock:
    """A `Clock`. A wall clock that is set while the engine runs does not move it; a new boot renews the offset."""

    def __init__(self, fixed: Clock | None) -> None:
        self._fixed = fixed
        self._stored = ""
        self._offset = system_wall_offset()
        self._clock: Clock = SystemClock(wall_offset=self._offset) if fixed is None else fixed

    def now(self) -> Now:
        return self._clock.now()

    def wall(self) -> int:
        return self._clock.wall()

    @property
    def apart(self) -> int:
        """How far the host's wall clock is ahead of this one, in microseconds."""
        return 0 if self._fixed is not None else system_wall_offset() - self._offset

    async def agree(self, tx: Transaction) -> None:
        """Take over the stored offset; store the host's own if there is none of this boot."""
        if self._fixed is not None:
            return
        text = await tx.value("meta", _KEY)
        if text is None or from_json(text)["boot"] != boot_id():
            await self.renew(tx)
        elif text != self._stored:
            self._adopt(text)

    async def renew(self, tx: Transaction) -> None:
        """Store the host's own offset of now, for all processes; they take it over at their next heartbeat."""
        if self._fixed is None:
            text = to_json({"boot": boot_id(), "wall_offset": system_wall_offset()})
            await tx.run("put_meta", _KEY, text)
            self._adopt(text)

    def warn(self) -> None:
        """Warn if the host's wall clock has been set since."""
        apart = self.apart
        if abs(apart) > APART:
            warnings.warn(
                f"the host's clock is {apart / 1_000_000:+.3f} s away from the one this file has kept since the boot; "
                "the stored one counts (`angelica db clock --accept` takes over the host's)",
                RuntimeWarning,
                stacklevel=2,
            )

    def _adopt(self, text: str) -> None:
        self._stored = text
        self._offset = int(from_json(text)["wall_offset"])
        self._clock = SystemClock(wall_offset=self._offset)
