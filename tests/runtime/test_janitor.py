"""The janitor: what dead workers held is settled once, blamed only where it had begun, and old tasks go."""

from __future__ import annotations

import pytest

from angelica.clock import SECOND, ManualClock
from angelica.domain.events import TasksEnded, WorkerLost
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import State
from angelica.runtime.janitor import Host, Janitor
from angelica.runtime.means import Means
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Beat, Claim
from tests.runtime.house_of_attempts import run
from tests.storage.world import LEASE, new, worker_info


class Scene:
    """A store, a worker `w1` of host `h` that holds tasks, and a janitor on some host."""

    def __init__(self, *, host="elsewhere", place="here", alive=True):
        self.clock = ManualClock()
        self.storage = MemoryStorage(self.clock)
        self.events = []
        means = Means(self.clock, lambda: 0.0, self.events.append)
        self.janitor = Janitor(self.storage, Host(host, place, lambda pid, started: alive), means=means)

    async def hold(self, *names, begun=()):
        await self.storage.open()
        now = self.clock.now()
        await self.storage.heartbeat(Beat(worker_info(), now.tick + LEASE, now.wall), now=now)
        await self.storage.enqueue_many([new(name) for name in names], now=now)
        room = (("async", 10),)
        claimed = (await self.storage.exchange([], Claim("w1", 10, room), now=now)).claimed
        started = tuple((task.id, task.attempt, now.wall) for task in claimed if task.id in begun)
        leases = tuple(task.lease for task in claimed)
        await self.storage.heartbeat(Beat(worker_info(), now.tick + LEASE, now.wall, leases, started), now=now)
        return claimed

    async def tasks(self, *names):
        return await self.storage.get_tasks(names)

    def lost(self):
        return [(each.worker, each.crashed, each.released) for each in self.events if isinstance(each, WorkerLost)]


def test_a_lease_that_still_runs_is_left_alone():
    async def story():
        scene = Scene()
        await scene.hold("a", begun=["a"])
        scene.clock.advance(LEASE - 1)
        await scene.janitor.sweep()
        assert (await scene.tasks("a"))[0].state is State.RUNNING
        assert scene.events == []

    run(story())


def test_a_lease_that_ran_out_blames_what_had_begun_and_releases_the_rest():
    async def story():
        scene = Scene()
        await scene.hold("begun", "waiting", begun=["begun"])
        scene.clock.advance(LEASE + 1)
        pause = await scene.janitor.sweep()
        assert 0.5 < pause < 1.5
        begun, waiting = await scene.tasks("begun", "waiting")
        assert (begun.state, begun.crashes, begun.failures) == (State.QUEUED, 1, 0)
        assert (waiting.state, waiting.crashes, waiting.failures) == (State.QUEUED, 0, 0)
        assert scene.lost() == [("w1", 1, 1)]
        await scene.janitor.sweep()
        assert scene.lost() == [("w1", 1, 1)]
        assert sum(isinstance(event, TasksEnded) for event in scene.events) == 1

    run(story())


@pytest.mark.parametrize(
    ("scene", "settled"),
    [
        ({"host": "h", "alive": False}, True),
        ({"host": "h", "alive": True}, False),
        ({"host": "h", "alive": False, "place": "another"}, False),
        ({"host": "elsewhere", "alive": False}, False),
    ],
    ids=[
        "its process is gone",
        "its process lives",
        "another boot or container of a host of that name",
        "another host's process",
    ],
)
def test_a_worker_of_this_host_is_settled_at_once_when_its_process_is_gone(scene, settled):
    async def story():
        made = Scene(**scene)
        await made.hold("a", begun=["a"])
        await made.janitor.sweep()
        (task,) = await made.tasks("a")
        assert (task.state, task.crashes) == ((State.QUEUED, 1) if settled else (State.RUNNING, 0))

    run(story())


def test_crashes_beyond_the_bound_end_the_task_as_poison():
    async def story():
        scene = Scene()
        for _ in range(4):
            await scene.hold("a", begun=["a"])
            scene.clock.advance(LEASE + 1)
            await scene.janitor.sweep()
        (task,) = await scene.tasks("a")
        assert (task.state, task.crashes, task.error.reason) == (State.FAILED, 4, "poison")

    run(story())


def test_ended_tasks_are_pruned_when_their_time_is_over():
    async def story():
        scene = Scene()
        (task,) = await scene.hold("a")
        now = scene.clock.now()
        await scene.storage.exchange([complete(task, Succeeded("1"), now=now, chance=0.0)], None, now=now)
        assert await scene.janitor.prune() == 60.0
        assert (await scene.tasks("a"))[0] is not None
        scene.clock.advance(task.policy.retention + SECOND)
        await scene.janitor.prune()
        assert (await scene.tasks("a"))[0] is None

    run(story())
