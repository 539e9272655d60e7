"""A worker of each released version goes on while this version brings its store up to date and works beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from angelica.storage.sqlite.schema import SCHEMA_VERSION
from tests.cli.conftest import SOURCE, environment

WHEELS = sorted((Path(__file__).parent.parent / "data" / "releases").glob("angelica-*.whl"))
APP = """
import asyncio, os, sys
from pathlib import Path
from angelica import Engine, __version__

engine = Engine()

def note(word, n):
    with open("ran.txt", "a") as file:
        file.write(f"{__version__} {word} {n}\\n")

@engine.task(name="quick", retries=0, max_crashes=0)
async def quick(n: int) -> int:
    note("quick", n)
    await asyncio.sleep(0.02)
    return n

@engine.task(name="slow", retries=0, max_crashes=0)
async def slow(n: int) -> int:
    while not Path("migrated").exists():
        await asyncio.sleep(0.02)
    note("slow", n)
    return n

@engine.task(name="parent", retries=0, max_crashes=0)
def parent(n: int) -> int:
    note("parent", n)
    quick.enqueue(1_000_000 + n)
    return n

def submit(name, first, count):
    engine.functions.get(name).enqueue_many([(n,) for n in range(first, first + count)])

if __name__ == "__main__":
    submit(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


class Store:
    """A directory with a store, an app, and what either version does there."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        self.directory = directory
        self.old = directory / "old"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.old)
        self.work = directory / "work"
        self.work.mkdir()
        (self.work / "app.py").write_text(APP)

    def run(self, code: str | Path, *arguments: str, module: str = "angelica.cli") -> str:
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command, cwd=self.work, env=self.env(code), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def env(self, code: str | Path) -> dict[str, str]:
        # A heartbeat of a second: leases are renewed through the migration, as they are in hours of a real deploy.
        return environment(
            PYTHONPATH=os.pathsep.join([str(code), str(self.work)]),
            ANGELICA_HEARTBEAT="1s",
            ANGELICA_LEASE_TTL="10s",
            ANGELICA_SLOTS="20",
        )

    @contextmanager
    def worker(self, code: str | Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        log = self.work / f"worker-{Path(code).name}.log"
        with log.open("wb") as err:
            command = [sys.executable, "-m", "angelica.cli", "worker", *arguments, "app:engine"]
            process = subprocess.Popen(command, cwd=self.work, env=self.env(code), stderr=err)
        try:
            yield process
            assert process.poll() is None, log.read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, log.read_text()
        finally:
            process.kill()
            process.wait(10)
        assert "Traceback" not in log.read_text()

    def ran(self) -> list[str]:
        path = self.work / "ran.txt"
        return path.read_text().splitlines() if path.exists() else []

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        return json.loads(self.run(SOURCE, *arguments, "-o", "json") or "[]")  # type: ignore[no-any-return]

    def until(self, true: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, Counter(line.rpartition(" ")[0] for line in self.ran())
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("wheel", WHEELS, ids=lambda path: path.name.split("-")[1])
def test_its_worker_goes_on_while_the_store_is_brought_up_to_date(wheel: Path, tmp_path: Path) -> None:
    store = Store(tmp_path, wheel)
    version = wheel.name.split("-")[1]
    assert version in store.run(store.old, "version")
    store.run(store.old, "slow", "0", "4", module="app")
    store.run(store.old, "quick", "0", "100", module="app")
    with store.worker(store.old) as old:
        store.until(lambda: len(store.ran()) >= 10)
        store.run(store.old, "quick", "100", "150", module="app")
        store.run(SOURCE, "db", "migrate")  # the four slow ones are in flight
        assert json.loads(store.run(SOURCE, "db", "status", "-o", "json"))["schema_version"] == SCHEMA_VERSION
        assert not [line for line in store.ran() if " slow " in line]
        (store.work / "migrated").touch()
        with store.worker(SOURCE, "--label", "gpu=true"):
            store.run(SOURCE, "quick", "250", "150", module="app")
            store.run(SOURCE, "parent", "0", "20", module="app")
            store.until(lambda: len(store.ran()) >= 4 + 400 + 2 * 20)
            rows = {row["version"]: row for row in store.listed("workers", "list")}
            assert set(rows) > {version}
            assert (rows[version]["pid"], rows[version]["state"]) == (old.pid, "running")
    ran = Counter(line.partition(" ")[2] for line in store.ran())
    assert set(ran.values()) == {1}
    assert len(ran) == 4 + 400 + 2 * 20
    tasks = store.listed("tasks", "list", "-n", "1000")
    assert Counter(task["state"] for task in tasks) == {"succeeded": len(ran)}
    assert {task["failures"] for task in tasks} == {0}
    by_version = Counter(line.split(" ")[0] for line in store.ran() if int(line.split()[2]) >= 250)
    assert min(by_version.values()) > 0
    assert len(by_version) == 2, "one of the two did nothing after the migration"
    store.run(SOURCE, "db", "check")
