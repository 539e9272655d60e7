"""Placement: who starts, who waits, who goes back, and that nobody is passed for ever."""

from __future__ import annotations

import asyncio

import pytest

from angelica.clock import SECOND, ManualClock
from angelica.domain.outcome import Snoozed
from angelica.domain.resources import Capacity
from angelica.domain.task import NOTHING, Extras, State, Task
from angelica.runtime import placement
from angelica.runtime.assignment import Assignment
from angelica.runtime.code import NOBODY
from angelica.runtime.placement import ELSEWHERE, LONGEST, PATIENCE, RESERVED_AFTER, SHORTEST, Placement
from tests.runtime.house_of_attempts import run, until
from tests.storage.world import new


class Scene:
    def __init__(self, cpu=2.0):
        self.clock = ManualClock()
        self.admitted = []
        self.handed_back = []
        self.placement = Placement(
            Capacity(cpu, 1 << 30),
            admit=lambda made: self.admitted.append(made.task_id),
            give_back=lambda made, outcome: self.handed_back.append((made.task_id, outcome)),
            wall=self.clock.wall,
        )
        self.made = {}

    def make(self, name, cpu=None, *, age=0):
        wall = self.clock.wall()
        spec = new(name, run_at=wall - age, created_at=wall - age)
        object.__setattr__(spec, "extras", Extras(resources=NOTHING if cpu is None else {"cpu": cpu}))
        made = Assignment(Task(spec, State.RUNNING, attempt=1), NOBODY, NOBODY, None, 0, lambda _: None)
        self.made[name] = made
        return made

    def enter(self, name, cpu=None, **more):
        return self.placement.enter(self.make(name, cpu, **more))

    def leave(self, name):
        self.placement.leave(self.made[name])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(placement, "LOOK", 0.005)


def play(story):
    async def bounded():
        scene = Scene()
        await story(scene)
        scene.placement.withdraw()

    run(bounded())


def test_what_fits_starts_and_the_rest_waits_until_somebody_leaves():
    async def story(scene):
        assert scene.enter("plain")
        assert scene.enter("a", 1)
        assert scene.enter("b", 1)
        assert not scene.enter("c", 1)
        assert scene.enter("undeclared")
        assert scene.placement.waiting(NOBODY.executor) == 1
        assert scene.placement.waiting("command") == 0
        scene.leave("undeclared")
        assert scene.admitted == []
        scene.leave("a")
        assert (scene.admitted, scene.placement.waiting(NOBODY.executor)) == (["c"], 0)

    play(story)


def test_what_is_larger_than_the_worker_goes_back_at_once():
    async def story(scene):
        assert not scene.enter("huge", 3)
        ((name, outcome),) = scene.handed_back
        assert (name, outcome) == ("huge", Snoozed(scene.clock.wall() + ELSEWHERE))

    play(story)


def test_what_waits_too_long_goes_back_for_a_time_that_grows_with_its_age():
    async def story(scene):
        assert scene.enter("a", 2)
        assert not scene.enter("young", 1)
        assert not scene.enter("older", 1, age=20 * SECOND)
        scene.clock.advance(PATIENCE)
        await until(lambda: len(scene.handed_back) == 2)
        back = dict(scene.handed_back)
        wall = scene.clock.wall()
        assert back["young"] == Snoozed(wall + SHORTEST)
        assert SHORTEST < back["older"].until - wall < LONGEST
        scene.leave("a")
        assert scene.admitted == []

    play(story)


def test_the_oldest_keeps_the_worker_free_for_itself():
    async def story(scene):
        assert scene.enter("small", 1)
        assert not scene.enter("old", 2, age=RESERVED_AFTER)
        await asyncio.sleep(0.05)
        assert not scene.enter("next", 1)  # it would fit beside `small`, for ever
        scene.clock.advance(PATIENCE)
        await until(lambda: scene.handed_back)
        assert [name for name, _ in scene.handed_back] == ["next"]
        scene.leave("small")
        assert scene.admitted == ["old"]
        scene.leave("old")
        assert scene.enter("later", 1)

    play(story)


def test_one_that_is_taken_back_makes_way():
    async def story(scene):
        assert scene.enter("small", 1)
        assert not scene.enter("old", 2, age=RESERVED_AFTER)
        await asyncio.sleep(0.05)
        assert not scene.enter("next", 1)
        assert scene.placement.recall(scene.made["old"])
        assert not scene.placement.recall(scene.made["old"])
        assert scene.admitted == ["next"]
        assert not scene.enter("last", 1)
        assert scene.placement.withdraw() == [scene.made["last"]]

    play(story)
