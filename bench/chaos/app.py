"""The app under attack: functions that tell the witness when they begin and end, and return which attempt they were."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from angelica import Context, Engine, Fixed
from angelica.domain.events import WriteRefused
from bench.chaos.witness import VARIABLE, Witness

engine = Engine()
witness = Witness()
LOOK = 0.01
FORGIVING = 1_000
"""More crashes than any run has kills: what is killed here again and again is not to blame."""


@engine.task(name="chaos.nap", max_crashes=FORGIVING)
async def nap(milliseconds: int, ctx: Context) -> list[int]:
    """Wait on the event loop."""
    witness.say("start", ctx.id, ctx.attempt)
    await asyncio.sleep(milliseconds / 1000)
    return _end(ctx)


@engine.task(name="chaos.block", max_crashes=FORGIVING)
def block(milliseconds: int, ctx: Context) -> list[int]:
    """Wait in a thread, in small steps, so that it can be told to stop."""
    witness.say("start", ctx.id, ctx.attempt)
    until = time.monotonic() + milliseconds / 1000
    while time.monotonic() < until:
        time.sleep(min(LOOK, milliseconds / 1000))
    return _end(ctx)


@engine.task(name="chaos.once", retries=0, max_crashes=0)
async def once(milliseconds: int, ctx: Context) -> list[int]:
    """At most once, by choice: it must never start a second time."""
    witness.say("start", ctx.id, ctx.attempt)
    await asyncio.sleep(milliseconds / 1000)
    return _end(ctx)


@engine.task(name="chaos.flaky", max_crashes=FORGIVING, backoff=Fixed(0.05))
async def flaky(milliseconds: int, ctx: Context) -> list[int]:
    """Fail the first time, so that kills also meet tasks that wait for their next attempt."""
    witness.say("start", ctx.id, ctx.attempt)
    await asyncio.sleep(milliseconds / 1000)
    if ctx.failures == 0:
        witness.say("end", ctx.id, ctx.attempt)
        raise RuntimeError("the first time it fails")
    return _end(ctx)


@engine.task(name="chaos.stuck", max_crashes=0)
async def stuck(milliseconds: int, ctx: Context) -> list[int]:
    """Take long the first time; later attempts end at once."""
    witness.say("start", ctx.id, ctx.attempt)
    await asyncio.sleep(milliseconds / 1000 if ctx.attempt == 1 else 0)
    return _end(ctx)


@engine.task(name="chaos.stuck_block", max_crashes=0)
def stuck_block(milliseconds: int, ctx: Context) -> list[int]:
    """As `stuck`, in a thread."""
    witness.say("start", ctx.id, ctx.attempt)
    until = time.monotonic() + (milliseconds / 1000 if ctx.attempt == 1 else 0)
    while time.monotonic() < until:
        time.sleep(LOOK)
    return _end(ctx)


@engine.task(name="chaos.killer")
async def killer(milliseconds: int, ctx: Context) -> list[int]:
    """Kill the worker that runs it, always."""
    witness.say("start", ctx.id, ctx.attempt)
    await asyncio.sleep(milliseconds / 1000)
    os.kill(os.getpid(), signal.SIGKILL)
    return _end(ctx)


@engine.task(name="chaos.zombie")
def zombie(milliseconds: int, ctx: Context) -> list[int]:
    """Wait for the gate of this attempt, then write a log line and a checkpoint, and end so many milliseconds later."""
    witness.say("start", ctx.id, ctx.attempt)
    while not gate(Path(os.environ[VARIABLE]), ctx.attempt).exists():
        time.sleep(LOOK)
    ctx.log.info("written by attempt %d", ctx.attempt)
    ctx.checkpoint({"by": ctx.attempt})
    time.sleep(milliseconds / 1000)
    return _end(ctx)


def gate(beside: Path, attempt: int) -> Path:
    """Return the file that lets an attempt of `zombie` go on: one for the first, one for all others."""
    return beside.with_name(f"gate.{min(attempt, 2)}")


def _end(ctx: Context) -> list[int]:
    witness.say("end", ctx.id, ctx.attempt)
    return [ctx.attempt, os.getpid()]


def _refused(event: WriteRefused) -> None:
    for task_id in event.task_ids:
        witness.say(f"refused:{event.verb}", task_id, 0)


engine.on(WriteRefused, _refused)
