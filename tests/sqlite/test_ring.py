"""Wake-ups across processes, and the net below them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from angelica.clock import tick_micros
from angelica.storage.protocol import Topic
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.ring import POLL
from tests.storage.world import World, new

CHILD = """
import asyncio, sys
from pathlib import Path
from angelica.domain.task import NewTask
from angelica.storage.sqlite.adapter import SqliteStorage

async def main(path):
    storage = SqliteStorage(path)
    await storage.open()
    print("open", flush=True)
    for line in sys.stdin:
        now = await storage.time()
        await storage.enqueue_many([NewTask(line.strip(), "f", "{}", now.wall, now.wall)], now=now)
        print("done", flush=True)
    await storage.close()

asyncio.run(main(Path(sys.argv[1])))
"""


class Submitter:
    """Another process that submits a task for each line."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.read() == "open"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def submit(self, name: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


def sockets(storage: SqliteStorage) -> list[Path]:
    return sorted(storage._opened().ring._sockets.glob("ring-*"))


def test_a_submit_in_another_process_wakes_a_waiter_here(path: Path) -> None:
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        storage = world.storage
        other = Submitter(path)
        delays = []
        for number in range(40):
            mark = storage.mark(Topic.READY)

            async def scene(mark: int = mark, number: int = number) -> int:
                waiting = asyncio.ensure_future(storage.wait(Topic.READY, mark, 10.0))
                await asyncio.sleep(0)
                other.submit(f"t{number}")
                count = await waiting
                await asyncio.to_thread(other.read)
                return count

            began = tick_micros()
            assert world.run(scene()) > mark
            delays.append(tick_micros() - began)
        other.close()
        # By the datagrams: the net alone would take an eighth of a second on the average.
        assert sorted(delays)[len(delays) // 2] < POLL * 1_000_000 / 4


def test_a_topic_that_nobody_waits_for_wakes_nobody(path: Path) -> None:
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        storage = world.storage
        other = Submitter(path)

        async def scene() -> int:
            mark = storage.mark(Topic.ENDED)
            waiting = asyncio.ensure_future(storage.wait(Topic.ENDED, mark, 0.2))
            await asyncio.sleep(0)
            await asyncio.to_thread(other.submit, "a")
            return await waiting - mark

        assert world.run(scene()) == 0
        other.close()


def test_a_change_that_nobody_rang_for_is_found(world: World, path: Path) -> None:
    storage = world.storage

    async def scene() -> int:
        mark = storage.mark(Topic.READY)
        waiting = asyncio.ensure_future(storage.wait(Topic.READY, mark, 10.0))
        await asyncio.sleep(POLL * 1.5)  # the net has looked once
        foreign = apsw.Connection(str(path))
        foreign.execute("insert into meta values ('written', 'by another program')")
        foreign.close()
        return await waiting - mark

    assert world.run(scene()) == 1


def test_a_burst_is_one_datagram(path: Path, tmp_path: Path) -> None:
    async def scene() -> int:
        here, there = SqliteStorage(path), SqliteStorage(path)
        await here.open()
        await there.open()
        sent = 0
        ring = there._opened().ring
        send = ring._send

        def counted(slot: int) -> bool:
            nonlocal sent
            sent += 1
            return send(slot)

        ring._send = counted  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(here.wait(Topic.ENDED, here.mark(Topic.ENDED), 10.0))
        ready = asyncio.ensure_future(here.wait(Topic.READY, here.mark(Topic.READY) + 1000, 10.0))
        await asyncio.sleep(0)
        here._opened().ring._wake = lambda: None  # type: ignore[method-assign]
        now = await there.time()
        for number in range(20):
            await there.enqueue_many([new(f"t{number}")], now=now)
        for future in (waiting, ready):
            future.cancel()
        await asyncio.gather(waiting, ready, return_exceptions=True)
        await here.close()
        await there.close()
        return sent

    assert asyncio.run(scene()) == 1


def test_the_socket_of_a_dead_process_is_removed_and_its_place_used_again(path: Path) -> None:
    async def scene() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        ring = storage._opened().ring
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(str(ring._socket_path(0)))
        dead.close()
        ring._bytes[128:131] = b"\1\1\1"
        now = await storage.time()
        await storage.enqueue_many([new("a")], now=now)
        deadline = time.monotonic() + 10
        while sockets(storage):  # the writer rings after it has answered
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        await storage.wait(Topic.READY, storage.mark(Topic.READY), 0.01)
        assert [file.name for file in sockets(storage)] == ["ring-0"]
        await storage.close()

    asyncio.run(scene())
    assert list(path.parent.glob("*-run/ring-*")) == []


def test_a_path_too_long_for_a_socket_still_wakes(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / "angelica.db"
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        storage = world.storage
        assert isinstance(storage, SqliteStorage)
        other = Submitter(path)
        mark = storage.mark(Topic.READY)

        async def scene() -> int:
            waiting = asyncio.ensure_future(storage.wait(Topic.READY, mark, 10.0))
            await asyncio.sleep(0)
            await asyncio.to_thread(other.submit, "a")
            return await waiting

        assert world.run(scene()) > mark
        assert len(str(sockets(storage)[0])) <= 107
        other.close()


@pytest.mark.parametrize("waits", [0, 3])
def test_closing_lets_go_who_waits(path: Path, waits: int) -> None:
    async def scene() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        waiting = [asyncio.ensure_future(storage.wait(Topic.READY, 10**9, 60.0)) for _ in range(waits)]
        await asyncio.sleep(0)
        await storage.close()
        await asyncio.gather(*waiting)

    asyncio.run(scene())
