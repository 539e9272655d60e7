"""The application that the tests of the process executor run: its children import it by its name."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import angelica

engine = angelica.Engine("memory:", name="first", poll=0.1, grace=1, heartbeat=0.5, kill_grace=0.3, process_slots=2)
other = angelica.Engine("memory:", name="second", poll=0.1, grace=1, heartbeat=0.5, process_slots=1)
AT_ONCE = angelica.Fixed(0.0)
loaded: list[str] = []
loops: list[int] = []


@engine.preload
def preload():
    loaded.append("plain")


@engine.preload
async def apreload():
    await asyncio.sleep(0)
    loaded.append("async")


@engine.middleware
def wrapped(function, handler):
    if function.name != "middled":
        return handler

    def call(*args, **kwargs):
        return {"pid": os.getpid(), "inner": handler(*args, **kwargs)}

    return call


succeeded: list[int] = []


@engine.hook("on_success", function="middled")
def noticed(task, end):
    succeeded.append(os.getpid())


def backoff(failures):
    return 0.0


def wait_for(path):
    while not Path(path).exists():
        time.sleep(0.005)


@engine.task(name="facts", executor="process")
def facts() -> dict:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "loaded": loaded,
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "files": [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()],
        "wanted": os.environ.get("ANGELICA_WARM_LINK", ""),
    }


@dataclass
class Point:
    x: int
    y: int


@engine.task(name="moved", executor="process")
def moved(point: Point, by: int = 1) -> Point:
    assert isinstance(point, Point)
    return Point(point.x + by, point.y + by)


@engine.task(name="length", executor="process")
def length(text: str) -> int:
    return len(text)


@engine.task(name="awaits", executor="process")
async def awaits(n: int) -> list[int]:
    await asyncio.sleep(0)
    loops.append(id(asyncio.get_running_loop()))
    return [os.getpid(), len(set(loops)), n]


@engine.task(name="middled", executor="process")
def middled() -> int:
    return 1


@engine.task(name="told", executor="process", retries=2, backoff=backoff, timeout=30)
def told(context: angelica.Context) -> dict:
    print("printed", flush=True)  # noqa: T201
    print("no end", end="")  # noqa: T201
    engine.log.info("logged")
    context.log.warning("by the context")
    context.progress(0.5, "half")
    seen = context.last_checkpoint
    context.checkpoint({"attempt": context.attempt})
    if context.attempt == 1:
        raise ValueError("the first time")
    assert engine.current().id == context.id
    return {
        "seen": seen,
        "attempt": context.attempt,
        "failures": context.failures,
        "remaining": 0 < context.remaining() <= 30,
        "cancelled": context.cancelled(),
        "labels": dict(context.labels),
        "headers": dict(context.headers),
    }


@engine.task(name="signals", executor="process", retries=1, backoff=AT_ONCE)
def signals(word: str, context: angelica.Context) -> str:
    if context.attempt > 1:
        return "again"
    raise {
        "retry": angelica.Retry(after=0.0),
        "snooze": angelica.Snooze(0.0),
        "cancel": angelica.Cancel("enough"),
        "fail": angelica.Fail("never"),
        "memory": MemoryError(),
        "exit": SystemExit(3),
    }[word]


@engine.task(name="bad_result", executor="process")
def bad_result(size: int):
    return "x" * size if size else {1, 2}


@engine.task(name="child_of", executor="process")
def child_of(n: int) -> str:
    return facts_in_thread.enqueue(n).id


@engine.task(name="achild_of", executor="process")
async def achild_of(n: int) -> str:
    return (await facts_in_thread.aenqueue(n)).id


@engine.task(name="facts_in_thread")
def facts_in_thread(n: int) -> int:
    return n


@engine.task(name="burns", executor="process")
def burns(seconds: float, mib: int) -> int:
    block = b"x" * (mib << 20)
    ends_at = time.process_time() + seconds
    while time.process_time() < ends_at:
        pass
    return len(block)


@engine.task(name="floods", executor="process")
def floods(lines: int) -> None:
    for n in range(lines):
        print(f"line {n} {'x' * 200}", file=sys.stderr)  # noqa: T201


@engine.task(name="waits", executor="process", retries=0)
def waits(begun: str, go: str) -> int:
    Path(begun).write_text(str(os.getpid()), "utf-8")
    wait_for(go)
    return os.getpid()


@engine.task(name="starts_sleep", executor="process", retries=0)
def starts_sleep(begun: str, go: str) -> int:
    """Return how a subprocess ended that was there all the time."""
    with subprocess.Popen(["sh", "-c", f"until test -e {go}; do sleep 0.02; done"]) as process:
        Path(begun).write_text(str(process.pid), "utf-8")
        return process.wait()


@engine.task(name="sleeps", executor="process", timeout=1, retries=0)
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


@engine.task(name="asleeps", executor="process", timeout=0.3, retries=0)
async def asleeps() -> None:
    await asyncio.sleep(60)


@engine.task(name="stubborn", executor="process", timeout=0.3, retries=0)
def stubborn(begun: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(begun).write_text(str(os.getpid()), "utf-8")
    while True:
        time.sleep(60)


@engine.task(name="family", executor="process", timeout=0.5, retries=0)
def family(place: str, *, ignore: bool) -> None:
    """Start a plain subprocess, a daemon by an exec and one by a mere fork, each in a session of its own."""
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    plain = subprocess.Popen(["sleep", "600"])
    subprocess.run(["sh", "-c", f"setsid sleep 601 & echo $! > {place}/exec"], check=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(place, "fork").write_text(str(os.getpid()), "utf-8")
            time.sleep(602)
        os._exit(0)
    Path(place, "plain").write_text(str(plain.pid), "utf-8")
    wait_for(f"{place}/fork")
    Path(place, "all").touch()
    time.sleep(60)


@engine.task(name="dies", executor="process", max_crashes=1)
def dies(how: str) -> None:
    print("last words")  # noqa: T201
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "abort":
        os.abort()
    os.kill(os.getpid(), signal.SIGKILL)


@engine.task(name="babbles", executor="process", max_crashes=0)
def babbles() -> None:
    """Write into the line to the worker, as only hostile code would."""
    for fd in range(3, 64):
        with suppress(OSError):
            if str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("socket:"):
                os.write(fd, b"\x00\x00\x00\x03abc")
    time.sleep(60)


@engine.task(name="forks", executor="process")
def forks() -> int:
    os.fork()  # and both come back
    return os.getpid()


@engine.task(name="leaves_zombies", executor="process")
def leaves_zombies(count: int) -> int:
    for _ in range(count):
        if os.fork() == 0:
            os._exit(0)
    return os.getpid()


@other.task(name="facts", executor="process")
def other_facts() -> list:
    return [os.getpid(), other.settings.name, len(loaded)]
