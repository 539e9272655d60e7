"""Jitter: a delay that spreads runs out, the same on every node and after every restart."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from angelica.clock import MILLISECOND


def jitter(
    schedule_id: str, fire_time: int, bound: int, *, mode: Literal["each", "fixed"] = "each", gap: int | None = None
) -> int:
    """Return the delay of a fire in microseconds: whole milliseconds from 0 to `bound`.

    It is drawn from the schedule's id and the fire's millisecond (`each`), or from the id alone (`fixed`). `gap` is the
    distance to the next fire, which the delay stays below, so that runs keep their order.
    """
    if gap is not None:
        bound = min(bound, gap - MILLISECOND)
    if bound < MILLISECOND:
        return 0
    text = schedule_id if mode == "fixed" else f"{schedule_id}|{fire_time // MILLISECOND}"
    drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return drawn % (bound // MILLISECOND + 1) * MILLISECOND
