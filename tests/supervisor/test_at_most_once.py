"""A task that forgives no crash runs at most once: in doubt it counts as begun, whoever settles it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from angelica.clock import SECOND, ManualClock, Now
from angelica.domain.task import Lease, NewTask, Policy, State, Task
from angelica.runtime.janitor import Host, Janitor
from angelica.runtime.means import Means
from angelica.runtime.settle import has_begun
from angelica.runtime.startfile import Started, StartFile
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Beat, Claim, WorkerInfo

LEASE = Lease("t", 1)


@pytest.mark.parametrize(
    ("started", "forgiving", "strict"),
    [
        (Started(running=frozenset({LEASE})), True, True),
        (Started(ended=frozenset({LEASE})), False, True),
        (Started(), False, False),
        (Started(full=True), False, True),
        (None, False, True),
    ],
    ids=["begun", "ended, not stored", "held", "no room in the file", "no file"],
)
def test_doubt_is_for_those_who_may_run_again(started: Started | None, forgiving: bool, strict: bool) -> None:
    def task(crashes: int) -> Task:
        return Task(NewTask("t", "f", "{}", 0, 0, policy=Policy(max_crashes=crashes)), State.RUNNING, attempt=1)

    assert has_begun(task(3), started) is forgiving
    assert has_begun(task(0), started) is strict


async def swept(file: StartFile, *, boot: str | None = None) -> dict[str, State]:
    """Let a janitor find a silent worker that had ended two tasks and not stored it: one is to run at most once."""
    clock = ManualClock()
    storage = MemoryStorage(clock)
    await storage.open()
    now = clock.now()
    info = WorkerInfo("w", "h", boot or now.boot, 1, 1, "0", now.wall, 10, start_file=str(file.path))
    await storage.heartbeat(Beat(info, now.tick + SECOND, now.wall), now=now)
    policies = {"once": Policy(max_crashes=0), "again": Policy()}
    await storage.enqueue_many([task(name, policy, now) for name, policy in policies.items()], now=now)
    held = (await storage.exchange([], Claim("w", 2, (("async", 2),)), now=now)).claimed
    for slot in file.hold([each.lease for each in held]):
        file.end(slot)
    clock.advance(2 * SECOND)
    means = Means(clock, lambda: 0.0, lambda _: None)
    await Janitor(storage, Host("h", now.boot, lambda *_: True), means=means).sweep()
    found = await storage.get_tasks(list(policies))
    await storage.close()
    return {each.id: each.state for each in found if each is not None}


def task(name: str, policy: Policy, now: Now) -> NewTask:
    return NewTask(name, "f", "{}", now.wall, now.wall, policy=policy)


def test_a_sweep_ends_what_may_not_run_again(tmp_path: Path) -> None:
    states = asyncio.run(swept(StartFile(tmp_path / "w.started")))
    assert states == {"once": State.FAILED, "again": State.QUEUED}


def test_the_file_of_an_earlier_boot_is_not_believed(tmp_path: Path) -> None:
    file = StartFile(tmp_path / "w.started")
    states = asyncio.run(swept(file, boot="an earlier one"))
    assert states == {"once": State.FAILED, "again": State.QUEUED}
