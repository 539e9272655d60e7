"""A mover in a process that is killed when a point is reached: `python -m tests.move.killed SOURCE TARGET POINT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from angelica.clock import SECOND
from angelica.storage.move import mover
from tests.move.house import Place, move


def main(source: str, target: str, point: str) -> None:
    mover.LEASE = SECOND  # nobody renews it after the kill, and the test does not wait for long

    def reached(here: str) -> None:
        if here == point:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(move(Place(source), Place(target), fresh=os.urandom(4).hex(), reached=reached))


if __name__ == "__main__":
    main(*sys.argv[1:])
