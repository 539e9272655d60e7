"""What was acknowledged is there: after kill -9, and never after a disk that failed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from angelica.errors import StorageError, StorageUnavailable
from angelica.storage.protocol import Claim
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.storage.world import World, new

WRITER = """
import asyncio, sys
from pathlib import Path
from angelica.domain.task import NewTask
from angelica.storage.sqlite.adapter import SqliteStorage

async def main(path, name):
    storage = SqliteStorage(path)
    await storage.open()
    now = await storage.time()
    async def caller(number):
        for i in range(1_000_000):
            id = f"{name}-{number}-{i}"
            await storage.enqueue_many([NewTask(id, "f", "{}", now.wall, now.wall)], now=now)
            sys.stdout.write(id + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*[caller(n) for n in range(20)])

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def acknowledged_until_killed(path: Path, name: str, lines: int) -> set[str]:
    """Run a writer, kill it after so many acknowledgements, and return all that it gave."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = [child.stdout.readline() for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        seen += child.stdout.readlines()
    # The last line may have been cut short by the kill.
    return {line.strip() for line in seen if line.endswith("\n")}


def test_what_was_acknowledged_before_a_kill_is_there(path: Path) -> None:
    acknowledged: set[str] = set()
    for number, lines in enumerate((1, 60, 777)):
        acknowledged |= acknowledged_until_killed(path, f"w{number}", lines)
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        found = world.run(world.storage.get_tasks(sorted(acknowledged)))
        assert len(acknowledged) >= 838
        assert [task for task in found if task is None] == []
        report = world.run(world.storage.check())  # type: ignore[attr-defined]
        assert report.problems == ()


def test_two_processes_are_killed_while_they_write_to_one_file(path: Path) -> None:
    async def both() -> list[set[str]]:
        calls = [asyncio.to_thread(acknowledged_until_killed, path, f"p{n}", 200 + 150 * n) for n in range(2)]
        return list(await asyncio.gather(*calls))

    acknowledged = set().union(*asyncio.run(both()))
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        found = world.run(world.storage.get_tasks(sorted(acknowledged)))
        assert None not in found
        assert world.run(world.storage.check()).problems == ()  # type: ignore[attr-defined]


class BrokenFile(apsw.VFSFile):
    """A file whose log cannot be synced while `failing`."""

    failing = False

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if BrokenFile.failing:
            raise apsw.IOError("no sync today")
        super().xSync(flags)


class BrokenDisk(apsw.VFS):
    """The system's own files, broken on demand."""

    def __init__(self) -> None:
        super().__init__("broken", "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return BrokenFile("", name, flags)


@pytest.fixture
def disk() -> Iterator[type[BrokenFile]]:
    vfs = BrokenDisk()
    yield BrokenFile
    BrokenFile.failing = False
    vfs.unregister()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_acknowledged_by_a_disk_that_does_not_sync(path: Path, disk: type[BrokenFile]) -> None:
    with World(SqliteStorage(path, vfs="broken"), None) as world:  # type: ignore[arg-type]
        storage = world.storage
        now = world.run(storage.time())
        world.run(storage.enqueue_many([new("before")], now=now))
        disk.failing = True
        with pytest.raises(StorageUnavailable, match="the disk failed"):
            world.run(storage.enqueue_many([new("during")], now=now))
        with pytest.raises(StorageError):
            world.run(storage.exchange([], Claim("w", 1, (("async", 1),)), now=now))
        disk.failing = False
        # The outcome of what failed is unknown; to repeat it is safe.
        assert world.run(storage.enqueue_many([new("during")], now=now)).items[0].status in {"created", "existing"}
        assert world.run(storage.enqueue_many([new("after")], now=now)).items[0].status == "created"
        found = world.run(storage.get_tasks(["before", "during", "after"]))
        assert None not in found
        assert world.run(storage.check()).problems == ()  # type: ignore[attr-defined]
