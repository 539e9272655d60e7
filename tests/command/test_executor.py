"""The command executor: what a stored task may make a worker run, and how each end of a command ends its attempt."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from angelica.clock import SECOND, ManualClock
from angelica.domain import reasons
from angelica.domain.command import AllowList, Command, Limits
from angelica.domain.outcome import Cancelled, Crashed, Failed, Released, Succeeded
from angelica.domain.task import Policy, State, Task
from angelica.errors import InvalidValue
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.commands.payload import decode, encode
from angelica.runtime.executors.command import COMMAND_CODE, CommandExecutor, Commands
from angelica.runtime.journal import Journal
from tests.command.house import PYTHON, ROOT, RUN_AS, alive, left_in, play, runner_in, until
from tests.storage.world import new

MIB = 1 << 20
CLOCK = ManualClock()


def command(name, pattern, **more):
    return Command(name, pattern, more.pop("program", PYTHON), **{"run_as": RUN_AS, **more})


ALLOWED = AllowList(
    [
        command("python", "python -c {text}"),
        command("small", "small -c {text}", limits=Limits(memory=64 * MIB)),
        command("short", "short -c {text}", timeout=SECOND // 2),
        command("region", "region -c {text}", env=("REGION",)),
        command("gone", "gone {text}", program="/nonexistent/program"),
        command("nobody's", "nobodys {text}", run_as=None),
    ]
)


class House:
    """An executor with its journal, and what has come out of it."""

    def __init__(self):
        self.journal = Journal(CLOCK)
        self.outcomes = {}
        self.usages = {}
        self.ends = {}
        self.begun = []
        self.refusal = None

    def begin(self, made):
        made.started_at = CLOCK.wall()
        self.begun.append(made.task_id)
        return self.refusal

    def done(self, made, outcome):
        made.finished = True
        self.usages[made.task_id] = outcome.usage  # apart: its figures are no two times the same
        self.outcomes[made.task_id] = replace(outcome, usage=None)

    def make(self, text, name="t", *, payload=None, **policy):
        stored = payload if payload is not None else encode(ALLOWED.match(text))
        spec = new(name, "command:it", payload=stored, policy=Policy(**policy), executor="command")
        return Assignment(
            Task(spec, State.RUNNING, attempt=2), COMMAND_CODE, COMMAND_CODE, self.journal, 0, lambda _: None
        )

    async def outcome(self, name="t", within=15.0):
        return await until(lambda: self.outcomes.get(name), within)

    def lines(self, made):
        lines = self.journal.drain() + self.journal.close(made)
        return [(line.stream, line.message) for line in lines if line.task_id == made.task_id]


@asynccontextmanager
async def executor(directory, slots=2, allowed=ALLOWED, environ=None):
    house = House()
    async with runner_in(directory) as runner:
        made = CommandExecutor(
            slots,
            steps=AttemptSteps(wall=CLOCK.wall),
            begin=house.begin,
            done=house.done,
            commands=Commands(runner, allowed, grace=SECOND, environ=environ or {}),
            on_end=lambda made, end: house.ends.__setitem__(made.task_id, end),
        )
        house.runner = runner
        try:
            yield made, house
        finally:
            await made.close()


def ends_as(directory, text, *, payload=None, **policy):
    """Run one task; return its outcome, its log and how the command ended."""

    async def story():
        async with executor(directory) as (made, house):
            assignment = house.make(text, payload=payload, **policy)
            made.submit([assignment])
            assert made.load() == 1
            outcome = await house.outcome()
            await until(lambda: made.load() == 0)
            return outcome, house.lines(assignment), house.ends.get("t")

    return play(story())


def say(*words):
    return f"python -c '{'; '.join(words)}'"


def test_exit_code_0_succeeds_with_what_it_took(directory):
    outcome, lines, end = ends_as(
        directory, """python -c 'import sys; print("out"); print(); print("err", file=sys.stderr)'"""
    )
    assert isinstance(outcome, Succeeded)
    result = json.loads(outcome.result)
    assert set(result) == {"exit_code", "seconds", "cpu_seconds", "cpu_source", "peak_memory", "memory_source"}
    assert result["exit_code"] == 0
    assert end.usage.peak_memory == result["peak_memory"] > 0
    assert sorted(lines) == [("stderr", "err"), ("stdout", ""), ("stdout", "out")]


def test_another_exit_code_fails(directory):
    outcome, lines, _ = ends_as(directory, say("print(1)", "exit(3)"))
    assert outcome == Failed(outcome.error)
    assert (outcome.error.reason, outcome.error.message) == (reasons.EXIT_CODE, "ended with exit code 3")
    assert outcome.error.attempt == 2
    assert lines == [("stdout", "1")]


def test_a_signal_fails(directory):
    outcome, _, _ = ends_as(directory, say("import ctypes", "ctypes.string_at(0)"))
    assert (outcome.error.reason, outcome.error.message) == (reasons.EXIT_CODE, "was ended by signal 11 (SIGSEGV)")


def test_memory_past_the_limit_is_a_crash(directory):
    outcome, _, end = ends_as(directory, "small -c 'kept = bytearray(300 << 20)'")
    if end.reason == "out_of_memory":
        assert isinstance(outcome, Crashed)
        assert outcome.error.reason == reasons.OUT_OF_MEMORY
        assert "67,108,864 bytes" in outcome.error.message
    else:  # the backstop came before the watchdog: the program itself was told
        assert (end.exit_code, outcome.error.reason) == (1, reasons.EXIT_CODE)


def test_what_cannot_be_started_fails(directory):
    outcome, _, _ = ends_as(directory, "gone x")
    assert outcome.error.reason == reasons.COMMAND_NOT_STARTED
    assert "/nonexistent/program: No such file" in outcome.error.message
    assert not outcome.final


def test_root_does_not_run_what_names_no_user(directory):
    outcome, _, end = ends_as(directory, "nobodys x")
    if ROOT:
        assert outcome.error.reason == reasons.COMMAND_NOT_STARTED
        assert "run_as" in outcome.error.message
    else:
        assert end.reason == "exited"


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps({"command": "python", "argv": ["/bin/sh", "-c", "touch {}"], "text": ""}),
        json.dumps({"command": "python", "argv": [PYTHON, "-c", "x", "y"], "text": ""}),
        json.dumps({"command": "python", "argv": [PYTHON, "-m", "x"], "text": ""}),
        json.dumps({"command": "python", "argv": [PYTHON, "-c", "-x"], "text": ""}),
        json.dumps({"command": "other", "argv": [PYTHON, "-c", "x"], "text": ""}),
        json.dumps({"command": "python", "argv": PYTHON, "text": ""}),
        json.dumps({"command": "python", "argv": [PYTHON, 5], "text": ""}),
        json.dumps({"command": "python", "argv": [PYTHON, "-c", "x"]}),
        json.dumps({"command": "python", "argv": [PYTHON, "-c", "x"], "text": "", "env": {"LD_PRELOAD": "/x"}}),
        json.dumps({"args": [], "kwargs": {}}),
        "[]",
        "no json",
        "",
    ],
)
def test_a_row_of_the_store_never_becomes_another_command(directory, payload):
    outcome, lines, end = ends_as(directory, "", payload=payload)
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error.reason == reasons.COMMAND_NOT_ALLOWED
    assert (lines, end) == ([], None)


def test_without_commands_in_its_configuration_a_worker_runs_none(directory):
    async def story():
        async with executor(directory, allowed=AllowList()) as (made, house):
            made.submit([house.make(say("print(1)"))])
            outcome = await house.outcome()
            assert outcome.error.reason == reasons.COMMAND_NOT_ALLOWED
            assert house.runner.helper_pid is None

    play(story())


def test_payloads_are_read_back():
    line = ALLOWED.match("python -c 'print(\"é\")'")
    assert json.loads(encode(line)) == {"command": "python", "argv": [PYTHON, "-c", 'print("é")'], "text": line.text}
    assert decode(encode(line)) == ("python", list(line.argv))
    with pytest.raises(InvalidValue):
        decode('{"command": 5, "argv": [], "text": ""}')


def test_the_variables_of_the_task_are_there(directory):
    async def story():
        async with executor(directory, environ={"REGION": "eu", "SECRET": "canary"}) as (made, house):
            assignment = house.make("region -c 'import os; print(dict(os.environ))'", timeout=60 * SECOND)
            made.submit([assignment])
            assert isinstance(await house.outcome(), Succeeded)
            return house.lines(assignment)

    ((_, text),) = play(story())
    seen = eval(text)  # noqa: S307 - our own program's
    assert seen["REGION"] == "eu"
    assert (seen["TASK_ID"], seen["TASK_ATTEMPT"], seen["TASK_QUEUE"]) == ("t", "2", "default")
    assert seen["TASK_COMMAND"] == "region"
    assert float(seen["TASK_DEADLINE"]) == CLOCK.wall() / SECOND + 60
    assert "canary" not in text


def test_lines_are_in_the_journal_while_it_runs(directory):
    async def story():
        async with executor(directory) as (made, house):
            assignment = house.make(say("import time", "print(1, flush=True)", "time.sleep(60)"))
            made.submit([assignment])
            await until(lambda: house.journal.pending == 1)
            assert [line.message for line in house.journal.drain()] == ["1"]
            assignment.stop("cancel", "no more")
            assert await house.outcome() == Cancelled(message="no more")

    play(story())


@pytest.mark.parametrize("reason", ["timeout", "cancel", "release", "lost"])
def test_every_reason_to_stop_ends_the_process(directory, reason):
    name = f"canary-{os.urandom(8).hex()}"

    async def story():
        async with executor(directory) as (made, house):
            ignore = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
            assignment = house.make(f"python -c '{ignore} #{name}'", timeout=60 * SECOND)
            made.submit([assignment])
            await until(lambda: house.journal.pending == 1)
            begun = asyncio.get_running_loop().time()
            assert assignment.stop(reason, "why")
            outcome = await house.outcome()
            return outcome, asyncio.get_running_loop().time() - begun

    outcome, took = play(story())
    assert alive(name) == []
    if reason == "timeout":
        assert (outcome.error.reason, outcome.error.type) == (reasons.TIMEOUT, "TimeoutError")
    else:
        assert outcome == (Cancelled(message="why") if reason == "cancel" else Released())
    # What is lost may run elsewhere already: it gets no grace.
    assert took < 0.9 if reason == "lost" else 1 <= took < 3


def test_its_own_time_out_holds_if_it_is_the_shorter_one(directory):
    outcome, _, end = ends_as(directory, "short -c 'import time; time.sleep(60)'", timeout=60 * SECOND)
    assert outcome.error.reason == reasons.TIMEOUT
    assert end.seconds < 2


def test_a_killed_keeper_is_a_crash(directory):
    async def story():
        async with executor(directory) as (made, house):
            script = say("import os, time", "print(os.getppid(), flush=True)", "time.sleep(60)")
            made.submit([house.make(script)])
            await until(lambda: house.journal.pending == 1)
            (line,) = house.journal.drain()
            os.kill(int(line.message), signal.SIGKILL)
            outcome = await house.outcome()
            assert isinstance(outcome, Crashed)
            assert outcome.error.reason == reasons.CRASHED

    play(story())


def test_a_flood_says_in_the_log_what_is_missing(directory):
    script = """python -c 'import os; b = (b"x" * 99 + chr(10).encode()) * 655; [os.write(1, b) for _ in range(800)]'"""
    outcome, lines, end = ends_as(directory, script)
    assert isinstance(outcome, Succeeded)
    dropped, size = end.dropped["stdout"]
    (note,) = (message for stream, message in lines if stream == "note")
    assert f"{dropped:,} lines ({size:,} bytes) dropped: more output than a command may write" in note
    # With what the journal itself has dropped, the count is complete.
    counts = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) lines? \(", note)]
    assert sum(counts) + len(lines) - 1 == 800 * 655


def test_slots_and_what_has_not_begun(directory):
    async def story():
        async with executor(directory, slots=1) as (made, house):
            sleeping = say("import time", "print(1, flush=True)", "time.sleep(60)")
            tasks = [house.make(sleeping, str(n)) for n in range(4)]
            made.submit(tasks)
            await until(lambda: house.journal.pending == 1)
            assert (made.load(), house.begun) == (4, ["0"])
            assert made.first_waiting() is tasks[1]
            assert made.recall(tasks[1]) is True
            assert made.recall(tasks[1]) is False
            assert made.recall(tasks[0]) is False
            tasks[0].stop("cancel")
            await house.outcome("0")
            await until(lambda: house.begun == ["0", "2"])
            assert made.withdraw() == [tasks[3]]
            assert made.first_waiting() is None

    play(story())


def test_one_that_must_not_begin_does_not(directory):
    async def story():
        async with executor(directory) as (made, house):
            house.refusal = Released()
            made.submit([house.make(say("print(1)"))])
            assert await house.outcome() == Released()
            house.refusal = None
            stopped = house.make(say("print(1)"), "stopped")
            stopped.stop_reason = "cancel"
            made.submit([stopped])
            assert await house.outcome("stopped") == Cancelled()
            assert house.runner.helper_pid is None

    play(story())


def test_closing_kills_what_runs(directory):
    name = f"canary-{os.urandom(8).hex()}"

    async def story():
        async with executor(directory) as (made, house):
            made.submit([house.make(f"python -c 'import time; print(1, flush=True); time.sleep(60) #{name}'")])
            await until(lambda: house.journal.pending == 1)
            helper = house.runner.helper_pid
            await made.close()
            assert await house.outcome() == Released()
            return helper

    helper = play(story())
    assert alive(name) == []
    assert left_in(directory) == []
    with pytest.raises(ProcessLookupError):
        os.kill(helper, 0)


def test_what_it_took_comes_with_its_outcome_and_of_one_that_never_began_there_is_nothing(directory):
    async def story():
        async with executor(directory) as (made, house):
            made.submit([house.make("python -c 'raise SystemExit(3)'"), house.make("gone x", "never")])
            await house.outcome()
            await house.outcome("never")
            taken = house.usages["t"]
            assert (taken.source in ("cgroup v1", "cgroup v2", "rusage", "proc"), taken.peak_memory > MIB) == (
                True,
                True,
            )
            assert house.usages["never"] is None

    play(story())
