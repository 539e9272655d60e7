"""The watch: one timer for all time-outs, which misses none."""

from __future__ import annotations

import asyncio

from angelica.clock import MILLISECOND, SECOND, SystemClock
from angelica.runtime.watch import NEVER, Watch
from tests.runtime.house_of_attempts import assignment, no_handler, run, until


def due(name, ends_by):
    made = assignment(no_handler, name)
    made.ends_by = ends_by
    stops = []
    made.interrupt = lambda: stops.append(name)
    return made, stops


def test_each_is_stopped_at_its_own_time_whichever_was_announced_first():
    async def story():
        clock = SystemClock()
        running = []
        watch = Watch(lambda: list(running), wall=clock.wall)
        watch.start()
        now = clock.wall()
        late, late_stops = due("late", now + 60 * MILLISECOND)
        soon, soon_stops = due("soon", now + 20 * MILLISECOND)
        for each in (late, soon):
            running.append(each)
            watch.look_at(each.ends_by)
        await until(lambda: soon_stops)
        assert late_stops == []
        assert soon.stop_reason == "timeout"
        await until(lambda: late_stops)
        watch.stop()

    run(story())


def test_one_that_begins_while_the_watch_looks_is_not_missed():
    async def story():
        clock = SystemClock()
        newcomer, stops = due("new", None)
        looks = []

        def running():
            looks.append(1)
            if len(looks) == 1:  # it begins in a thread right now, after this snapshot was taken
                newcomer.ends_by = clock.wall() + 20 * MILLISECOND
                watch.look_at(newcomer.ends_by)
                return []
            return [newcomer]

        watch = Watch(running, wall=clock.wall)
        watch.start()
        watch.look_at(clock.wall())
        await until(lambda: stops)
        watch.stop()

    run(story())


def test_a_later_moment_changes_nothing():
    async def story():
        watch = Watch(list, wall=SystemClock().wall)
        watch.start()
        watch.look_at(5 * SECOND)
        watch.look_at(9 * SECOND)
        assert watch.next == 5 * SECOND
        await until(lambda: watch.next == NEVER)
        watch.stop()

    run(story())


def test_one_that_has_ended_or_not_begun_is_left_alone():
    async def story():
        clock = SystemClock()
        ended, stops = due("ended", None)
        watch = Watch(lambda: [ended], wall=clock.wall)
        watch.start()
        watch.look_at(clock.wall())
        await until(lambda: watch.next == NEVER)
        await asyncio.sleep(0)
        assert stops == []
        watch.stop()

    run(story())


def test_after_its_end_nobody_is_told():
    async def story():
        clock = SystemClock()
        made, stops = due("late", clock.wall() + 10 * MILLISECOND)
        watch = Watch(lambda: [made], wall=clock.wall)
        watch.start()
        watch.look_at(made.ends_by)
        await asyncio.sleep(0)
        watch.stop()
        await asyncio.sleep(0.03)
        assert stops == []
        watch.look_at(1)

    run(story())
