"""`kill -9` at the N-th write or sync of a process that submits: what it was told is there, and the file is sound.

Random kills rarely hit the microseconds between two system calls of one commit; strace hits each of them.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from angelica.domain.task import State
from angelica.storage.protocol import TaskFilter
from angelica.storage.sqlite.adapter import SqliteStorage
from bench.chaos.checker import Fault, Verdict
from bench.chaos.fleet import Place

CALLS: Final = ("fdatasync", "pwrite64")
COUNT: Final = 8
MOST: Final = 25
"""Kills for each system call; where there are more calls than that, the seed chooses."""


def missing_strace() -> str | None:
    """Return why this scenario cannot run here, None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    done = subprocess.run(["strace", "-f", "-qq", "true"], capture_output=True, check=False, timeout=10)
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.decode()[:200].strip()}"


def sweep(*, seed: int, say: Callable[[str], None], most: int = MOST) -> Verdict:
    """Kill a submitter at its N-th call of each kind; then submit the same again and compare."""
    verdict = Verdict()
    chance = random.Random(seed)
    for call in CALLS:
        total = _count(call)
        chosen = sorted(chance.sample(range(1, total + 1), min(most, total)))
        say(f"{call}: {total} calls in a script of {COUNT} submits; killed at {len(chosen)} of them")
        for n in chosen:
            _kill_at(call, n, verdict)
        verdict.figures[f"kills at {call}"] = len(chosen)
    return verdict


def _submitter(place: Place, *trace: str) -> tuple[int, list[str]]:
    """Run the script, under strace if told; return its exit code and what was acknowledged."""
    script = ["-m", "bench.chaos.submitter", "bench.chaos.app", "s", str(COUNT), "chaos.nap", "1"]
    env = place.environment({"ANGELICA_URL": str(place.store)})
    done = subprocess.run(
        [*trace, sys.executable, *script],
        env=env,
        cwd=place.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ACK ")]


def _count(call: str) -> int:
    """Return how often the most active thread of the script makes this call: strace counts for each thread."""
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory))
        log = place.directory / "trace"
        code, _ = _submitter(place, "strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}")
        assert code == 0, "the script must work under strace"
        threads = [line.split()[0] for line in log.read_text().splitlines() if f" {call}(" in line]
        return max((threads.count(thread) for thread in set(threads)), default=0)


def _kill_at(call: str, n: int, verdict: Verdict) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory))
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={n}"]
        _, told = _submitter(place, "strace", "-f", "-qq", "-o", "/dev/null", *inject)
        where = f"{call} {n}"
        found = asyncio.run(_stored(place.store)) if place.store.exists() else set()
        for task_id in set(told) - found:
            verdict.faults.append(Fault("lost", task_id, f"was acknowledged and is not there ({where})"))
        code, again = _submitter(place)
        if code != 0 or len(again) != COUNT:
            verdict.faults.append(Fault("repeat", "", f"{len(again)} of {COUNT} went through after the kill ({where})"))
            return
        if len(asyncio.run(_stored(place.store))) != COUNT:
            verdict.faults.append(Fault("phantom", "", f"the repeated script left other tasks than its own ({where})"))
        verdict.faults += [Fault("store", "", f"{problem} ({where})") for problem in asyncio.run(_check(place.store))]


async def _stored(path: Path) -> set[str]:
    storage = SqliteStorage(path)
    await storage.open()
    try:
        page = await storage.list_tasks(TaskFilter(states=frozenset(State)), limit=10 * COUNT)
        return {task.id for task in page.items}
    finally:
        await storage.close()


async def _check(path: Path) -> tuple[str, ...]:
    storage = SqliteStorage(path)
    await storage.open()
    try:
        return (await storage.check()).problems
    finally:
        await storage.close()
