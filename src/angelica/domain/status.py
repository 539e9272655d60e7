"""Status words: the coarse status that clients poll, for each stored state, and every spelling that filters accept."""

from __future__ import annotations

from typing import Final

from angelica.domain.task import State

STATUS: Final[dict[State, str]] = {
    State.WAITING: "PENDING",
    State.SCHEDULED: "PENDING",
    State.QUEUED: "PENDING",
    State.RUNNING: "RUNNING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELLED",
}


def status_of(state: State) -> str:
    """Return the coarse status of a state."""
    return STATUS[state]
