"""A process that submits one task after the other from Python and prints `ACK id` once each is acknowledged.

python -m bench.chaos.submitter MODULE PREFIX COUNT FUNCTION MILLISECONDS       (the store: ANGELICA_URL)
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys

from angelica import Engine


async def submit(engine: Engine, prefix: str, count: int, name: str, milliseconds: int) -> None:
    """Submit `count` tasks with ids of our own: a second run with the same ids creates nothing twice."""
    function = engine.functions.get(name)
    assert function is not None
    for number in range(count):
        task_id = f"{prefix}-{number}"
        await function.using(task_id=task_id).aenqueue(milliseconds)
        os.write(1, f"ACK {task_id}\n".encode("ascii"))
    await engine.close()


if __name__ == "__main__":
    module, prefix, count, name, milliseconds = sys.argv[1:]
    asyncio.run(submit(importlib.import_module(module).engine, prefix, int(count), name, int(milliseconds)))
