"""The pace: pauses end together, so that a process with nothing to do wakes up seldom, for all of its loops at once."""

from __future__ import annotations

import asyncio
import math
import os
from typing import Final

BEAT: Final = 0.5
"""Seconds between the moments at which pauses end."""

_GOLDEN: Final = 0.6180339887498949  # multiples of it lie as far apart as can be


def paced(pause: float) -> float:
    """Shorten a pause (seconds) of a second or more so that it ends on a beat of this process.

    Whoever has an exact moment to wait for is woken a little early, and pauses once more. Processes of one machine beat
    at different moments: else all of them would come to one store at once.
    """
    if pause < 2 * BEAT:
        return pause
    now = asyncio.get_running_loop().time() - os.getpid() * _GOLDEN % 1.0 * BEAT
    return beat_before(now + pause) - now


def beat_before(moment: float) -> float:
    """Return the last beat up to a moment, both in seconds from the first; a hair above is the beat itself."""
    return math.floor(moment / BEAT + 1e-6) * BEAT
