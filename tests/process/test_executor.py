"""The executor by itself, with real children: what has begun, what can still be taken back, who takes over."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from angelica import strict_json
from angelica.clock import SECOND, SystemClock
from angelica.domain.outcome import Crashed, Released, Succeeded
from angelica.domain.task import State, Task
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.executors.process import Desk, ProcessExecutor
from angelica.runtime.journal import Journal
from angelica.runtime.startfile import StartFile, read_started
from angelica.runtime.warm.crew import ProcessSettings
from tests.process import app
from tests.process.house import pid_in
from tests.runtime.house_of_attempts import run, until
from tests.storage.world import new

CLOCK = SystemClock()


class Office:
    """A desk without a worker, and what came over it."""

    def __init__(self, start_file=None):
        self.trusted_until = CLOCK.wall() + 60 * SECOND
        self.begun = []
        self.outcomes = {}
        self.journal = Journal(CLOCK)
        self.start_file = start_file

    def note_begin(self, assignment, wall):
        assignment.started_at = wall
        self.begun.append(assignment.task_id)

    def done(self, assignment, outcome):
        self.outcomes[assignment.task_id] = outcome

    def assignment(self, name, function, *args, slot=0):
        payload = strict_json.dumps({"args": list(args), "kwargs": {}})
        task = Task(new(name, function.name, payload=payload, executor="process"), State.RUNNING, attempt=1)
        return Assignment(task, function, function.handler, self.journal, slot, lambda of: None)

    async def ended(self, *names):
        await until(lambda: set(names) <= set(self.outcomes), 20)


@asynccontextmanager
async def executor_of(office, slots=1, *, setup=None, quick=False):
    path = None if office.start_file is None else str(office.start_file.path)
    make = setup or (lambda: msgspec.structs.replace(app.engine.child_setup(), start_file=path))
    settings = ProcessSettings(slots, grace=0.3, max_tasks=None, max_memory=None, max_age=None, setup=make)
    desk = Desk(CLOCK.wall, office, office.note_begin, lambda note: None, office.journal, lambda: 0.0)
    executor = ProcessExecutor(settings, steps=AttemptSteps(wall=CLOCK.wall), desk=desk, done=office.done)
    if quick:  # as after many tasks that took no time: children get some ahead
        executor._mean = 1.0
    try:
        yield executor
    finally:
        await executor.close()


def holding(office, tmp_path, *names):
    """Assignments, the first of which runs until the file `go` is there."""
    first, *rest = names
    made = [office.assignment(first, app.waits, str(tmp_path / first), str(tmp_path / "go"))]
    return made + [office.assignment(name, app.facts) for name in rest]


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def windows(executor):
    return sum(len(child.window) for child in executor._crew.children)


def test_what_was_sent_ahead_and_has_not_begun_is_taken_back(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            a, b, c, d = holding(office, tmp_path, "a", "b", "c", "d")
            executor.submit([a, b, c, d])
            await until(lambda: office.begun == ["a"])
            assert (executor.load(), windows(executor)) == (4, 3)
            assert executor.recall(b) is True
            assert executor.recall(b) is False
            assert executor.recall(a) is False, "it has begun"
            assert executor.load() == 3
            (tmp_path / "go").touch()
            await office.ended("a", "c", "d")
            assert office.begun == ["a", "c", "d"]
            assert all(isinstance(outcome, Succeeded) for outcome in office.outcomes.values())

    run(story())


def test_all_that_waits_can_be_withdrawn(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            made = holding(office, tmp_path, *map(str, range(50)))
            executor.submit(made)
            await until(lambda: office.begun == ["0"])
            assert executor.first_waiting() is not None
            assert sorted(executor.withdraw(), key=made.index) == made[1:]
            assert (executor.load(), executor.first_waiting()) == (1, None)
            (tmp_path / "go").touch()
            await office.ended("0")
            assert office.begun == ["0"]

    run(story())


def test_nothing_is_sent_ahead_until_run_times_are_known_to_be_short(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office) as executor:
            executor.submit(holding(office, tmp_path, "a", "b"))
            await until(lambda: office.begun == ["a"])
            assert windows(executor) == 0
            (tmp_path / "go").touch()
            await office.ended("a", "b")

    run(story())


def test_the_start_file_tells_what_has_begun_from_what_was_only_sent(tmp_path):
    async def story():
        start_file = StartFile(tmp_path / "started", 16)
        office = Office(start_file)
        async with executor_of(office, quick=True) as executor:
            made = holding(office, tmp_path, "a", "b")
            for each, slot in zip(made, start_file.hold([each.lease for each in made]), strict=True):
                each.slot = slot
            executor.submit(made)
            # The file of the handler's own: the mark must be there before the handler runs.
            await until((tmp_path / "a").exists)
            assert {lease.task_id for lease in read_started(start_file.path)} == {"a"}
            executor.withdraw()
            (tmp_path / "go").touch()
            await office.ended("a")
        start_file.close()

    run(story())


def test_what_waits_behind_a_slow_handler_goes_to_an_idle_child(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, 2, quick=True) as executor:
            executor.submit([office.assignment(f"warm{n}", app.facts) for n in range(2)])
            await until(lambda: len(executor._crew.open()) == 2, 20)
            await until(lambda: executor.load() == 0)
            executor._mean = 1.0
            made = holding(office, tmp_path, *"abcd")
            executor.submit(made)
            await office.ended("b", "c", "d")
            assert "a" not in office.outcomes
            (tmp_path / "go").touch()
            await office.ended("a")

    run(story())


def test_a_crash_hits_nobody_who_only_waited(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            executor.submit(holding(office, tmp_path, "a", "b", "c"))
            await until((tmp_path / "a").exists)
            await until(lambda: office.begun == ["a"])
            os.kill(executor._crew.children[0].pid, signal.SIGKILL)
            await office.ended("a", "b", "c")
            assert isinstance(office.outcomes["a"], Crashed)
            assert office.outcomes["a"].usage.source == "wait4"
            assert {type(office.outcomes[name]) for name in "bc"} == {Succeeded}

    run(story())


def test_nothing_begins_once_the_lease_is_not_trusted(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            executor.submit(holding(office, tmp_path, "a", "b"))
            await until(lambda: office.begun == ["a"])
            executor.submit(executor.withdraw())  # given again, until a moment that is soon over
            office.trusted_until = 0
            executor.submit(executor.withdraw())
            assert office.outcomes == {"b": Released()}
            (tmp_path / "go").touch()
            await office.ended("a")

    run(story())


def test_a_grant_that_ran_out_on_the_way_is_renewed_or_not_used(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            (a,) = holding(office, tmp_path, "a")
            executor.submit([a])
            await until(lambda: office.begun == ["a"])
            child = executor._crew.children[0]
            late, fresh = office.assignment("late", app.facts), office.assignment("fresh", app.facts)
            child.give([late], grant=1, offset=CLOCK.wall())  # declined, and given again since we do trust
            child.give([fresh], grant=1 << 60, offset=0)
            (tmp_path / "go").touch()
            await office.ended("a", "late", "fresh")
            assert office.begun == ["a", "fresh", "late"]

    run(story())


def test_what_was_told_to_stop_on_its_way_is_stopped_when_it_begins(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office) as executor:
            (a,) = holding(office, tmp_path, "a")
            begin = office.note_begin

            def told_meanwhile(assignment, wall):
                begin(assignment, wall)
                assignment.stop("cancel", "early")

            object.__setattr__(executor._desk, "begun", told_meanwhile)
            executor.submit([a])
            await office.ended("a")
            assert office.outcomes["a"].message == "early"

    run(story())


def test_a_stop_that_comes_too_late_hits_nobody(tmp_path):
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            a = office.assignment("a", app.waits, str(tmp_path / "a"), str(tmp_path / "go"))
            b = office.assignment("b", app.starts_sleep, str(tmp_path / "b"), str(tmp_path / "go_b"))
            executor.submit([a, b])
            await until(lambda: office.begun == ["a"])
            (tmp_path / "go").touch()
            pid_in(tmp_path / "b")  # `b` is inside, and nobody here has heard of it: the loop stands still
            assert a.stop("timeout") is True
            (tmp_path / "go_b").touch()
            await office.ended("a", "b")
            assert isinstance(office.outcomes["a"], Succeeded)
            assert office.outcomes["b"].result == "0", "its subprocess was hit"

    run(story())


@pytest.mark.parametrize("wrong", ["module", "function"])
def test_children_that_cannot_start_are_said_to_and_tried_again(wrong):
    async def story():
        office = Office()
        broken = [True]

        def setup():
            made = app.engine.child_setup()
            if not broken[0]:
                return made
            if wrong == "function":
                return msgspec.structs.replace(made, required=("nobody",))
            source = msgspec.structs.replace(made.sources[0], module="no_such_module")
            return msgspec.structs.replace(made, sources=(source,))

        async with executor_of(office, setup=setup) as executor:
            executor.submit([office.assignment("a", app.facts)])
            await until(lambda: executor.problem is not None, 20)
            assert ("no_such_module" if wrong == "module" else "nobody") in executor.problem
            assert executor.slots == 0, "nothing may be claimed for it"
            assert executor.first_waiting() is None or executor.load() == 1
            broken[0] = False
            await office.ended("a")
            assert (executor.problem, executor.slots) == (None, 1)

    run(story(), within=40)


def test_an_executor_that_never_ran_anything_has_no_children():
    async def story():
        before = descriptors()
        async with executor_of(Office(), slots=4) as executor:
            assert executor._crew.children == []
            assert executor.slots == 4
        assert descriptors() == before

    run(story())


def test_children_leave_no_descriptor_behind():
    async def story():
        office = Office()
        before = descriptors()
        for n in range(2):
            async with executor_of(office) as executor:
                executor.submit([office.assignment(str(n), app.facts)])
                await office.ended(str(n))
        await until(lambda: descriptors() == before, 5)  # the loop closes some of them a moment later

    run(story())


def test_a_large_payload_crosses_in_parts():
    async def story():
        office = Office()
        async with executor_of(office, quick=True) as executor:
            points = [office.assignment(str(n), app.length, "x" * (3 << 20)) for n in range(3)]
            executor.submit(points)
            await office.ended("0", "1", "2")
            assert {outcome.result for outcome in office.outcomes.values()} == {str(3 << 20)}

    run(story())


def test_idle_children_wait_for_nothing_but_their_line():
    async def story():
        office = Office()
        async with executor_of(office) as executor:
            executor.submit([office.assignment("a", app.facts)])
            await office.ended("a")
            (child,) = executor._crew.children
            before = _cpu(child.pid)
            await asyncio.sleep(0.3)
            assert _cpu(child.pid) - before <= 1

    run(story())


def _cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
