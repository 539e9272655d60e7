"""The fence around a store that is being moved: a fact in the store itself, which every write looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from angelica.errors import StorageError, StorageUnavailable, StoreMoved

FenceState = Literal["draining", "moving", "moved", "receiving"]
_AGAIN = 2.0


@dataclass(frozen=True, slots=True)
class Fence:
    """What a move has made of a store; `move` names the move, `to` and `source` are addresses without a password.

    `draining`: workers claim no more and hand back what still runs after `grace` (microseconds); all else goes on.
    `moving`: nothing is written. Both end by themselves at `until` (microseconds of the store's clock), so that a mover
    that has died holds nobody up. `moved`: the data is at `to` for good. `receiving`: the store is filled from `source`
    and is of no use before the move has ended.
    """

    state: FenceState
    move: str
    to: str
    source: str
    until: int = 0
    grace: int = 0

    def holds(self, wall: int) -> bool:
        """Whether it is in force."""
        return self.state in ("moved", "receiving") or wall < self.until

    def refusal(self, wall: int) -> StorageError | None:
        """Return what a write is refused with at this moment, None if it may go on."""
        if self.state == "draining" or not self.holds(wall):
            return None
        match self.state:
            case "moved":
                return StoreMoved(self.to)
            case "receiving":
                said = (
                    f"this store is being filled from {self.source}: it can be used once `angelica db move` has ended"
                )
                return StorageUnavailable(said, retry_after=_AGAIN)
            case _:
                said = f"the data is being moved to {self.to}; nothing was written"
                return StorageUnavailable(said, retry_after=_AGAIN)

    def check_open(self) -> None:
        """Raise what opening the store is refused with, if it is: a move that is under way may yet be given up."""
        error = None if self.state == "moving" else self.refusal(0)
        if error is not None:
            raise error
