"""Commands through a whole engine: submitted by text, run by its worker, stopped by whatever stops a task."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace

import pytest

from angelica import CommandNotAllowed, CommandsDisabled, Engine, InvalidValue
from angelica.allowed import find_program, open_list
from angelica.clock import SECOND
from angelica.domain import reasons
from angelica.domain.command import NO_COMMANDS, AllowList, Command, Limits
from angelica.domain.task import State
from tests.command.house import PYTHON, ROOT, RUN_AS, alive
from tests.engine.house_of_engines import engine_on, run

MIB = 1 << 20
SLEEPER = "python -c 'import time; print(\"begun\", flush=True); time.sleep(60)  # {}'"


def command(name, pattern, **more):
    return Command(name, pattern, PYTHON, run_as=RUN_AS, **more)


ALLOWED = AllowList([command("python", "python -c {text}"), command("brief", "brief -c {text}", timeout=SECOND // 2)])


def engine_with(allowed=ALLOWED, url="memory:", **settings):
    engine = engine_on(url, **settings)
    engine.settings = replace(engine.settings, commands=allowed)
    return engine


async def end_of(handle, within=20.0):
    return (await handle.await_(within)).task


def test_a_command_runs_with_its_log_its_exit_code_and_what_it_took():
    async def story():
        async with engine_with() as engine:
            handle = await engine.commands.aenqueue(
                'python -c \'print("one"); print("two")\'', task_id="job-001", labels={"team": "ml"}, queue="gpu"
            )
            task = await end_of(handle)
            assert (task.id, task.function, task.queue, task.state) == (
                "job-001", "command:python", "gpu", State.SUCCEEDED,
            )  # fmt: skip
            result = json.loads(task.result)
            assert (result["exit_code"], set(result) >= {"cpu_seconds", "peak_memory"}) == (0, True)
            assert task.usage.peak_memory == result["peak_memory"] > MIB
            assert task.usage.source == result["memory_source"]
            assert [line.message for line in await handle.alogs()] == ["one", "two"]
            again = await engine.commands.aenqueue(
                'python -c \'print("one"); print("two")\'', task_id="job-001", labels={"team": "ml"}, queue="gpu"
            )
            assert (again.id, again.created) == ("job-001", False)

    run(story())


def test_a_command_that_fails_is_retried_and_each_attempt_keeps_what_it_took():
    async def story():
        async with engine_with() as engine:
            handle = await engine.commands.aenqueue("python -c 'raise SystemExit(3)'", retries=1, backoff=0)
            task = await end_of(handle)
            assert (task.state, task.failures, task.error.reason) == (State.FAILED, 2, reasons.EXIT_CODE)
            assert task.error.message == "ended with exit code 3"
            attempts = await engine.service.attempts(task.id)
            assert [attempt.outcome for attempt in attempts] == ["failed", "failed"]
            assert all(attempt.usage.peak_memory > MIB for attempt in attempts)
            assert task.usage == attempts[-1].usage

    run(story())


def test_what_is_not_allowed_is_refused_where_it_is_submitted():
    async def story():
        async with engine_with() as engine:
            with pytest.raises(CommandNotAllowed) as refused:
                await engine.commands.aenqueue("python train.py")
            assert refused.value.near == "python -c {text}"
            with pytest.raises(InvalidValue, match="args"):
                await engine.commands.aenqueue("python -c 1", args=[1])
        async with engine_with(NO_COMMANDS) as engine:
            with pytest.raises(CommandsDisabled):
                await engine.commands.aenqueue("python -c 1")

    run(story())


@pytest.mark.parametrize("text", ["python", "brief"])
def test_out_of_time_it_ends_whether_the_task_or_the_configuration_says_so(text):
    async def story():
        async with engine_with() as engine:
            line = SLEEPER.format(f"late-{text}-{os.getpid()}").replace("python", text, 1)
            handle = await engine.commands.aenqueue(line, retries=0, timeout=0.5 if text == "python" else 30)
            task = await end_of(handle)
            assert (task.state, task.error.reason) == (State.FAILED, reasons.TIMEOUT)
            assert task.error.message == "did not end within 0.5 s"
            assert task.usage is not None
            assert not alive(f"late-{text}-{os.getpid()}")

    run(story())


async def begun(handle):
    for _ in range(2_000):
        if any(line.message == "begun" for line in await handle.alogs()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not begin")


def test_a_cancel_ends_it_with_all_that_it_has_started():
    async def story():
        async with engine_with() as engine:
            canary = f"cancelled-{os.getpid()}"
            handle = await engine.commands.aenqueue(SLEEPER.format(canary))
            await begun(handle)
            await handle.acancel()
            task = await end_of(handle)
            assert (task.state, task.failures) == (State.CANCELLED, 0)
            assert not alive(canary)

    run(story())


def test_a_stop_hands_it_back_at_no_cost(tmp_path):
    async def story():
        canary, url = f"stopped-{os.getpid()}", f"sqlite:///{tmp_path}/a.db"
        engine = engine_with(url=url, grace=0.2)
        async with engine:
            handle = await engine.commands.aenqueue(SLEEPER.format(canary))
            await begun(handle)
            assert alive(canary)
        assert not alive(canary)
        async with engine_on(url) as reader:
            task = await reader.service.get(handle.id)
            assert (task.state, task.failures, task.crashes, task.attempt) == (State.QUEUED, 0, 0, 1)
            (attempt,) = await reader.service.attempts(handle.id)
            assert (attempt.outcome, attempt.usage is not None) == ("released", True)

    run(story())


def test_a_worker_without_the_command_leaves_it_to_one_that_has_it(tmp_path):
    async def story():
        url = f"sqlite:///{tmp_path}/a.db"
        async with engine_with(AllowList([command("other", "other {text}")]), url) as first:
            submitting = engine_with(url=url)
            await submitting.start(worker=False)
            handle = await submitting.commands.aenqueue("python -c 'print(1)'")
            task = await stands_held(handle, reasons.UNKNOWN_FUNCTION)
            assert (task.state, task.failures) == (State.QUEUED, 0)
            why = await first.service.why(task.id)
            assert why.text.startswith("No live worker has the command python in its configuration; one that has")
            async with engine_with(url=url):
                assert (await end_of(handle)).state is State.SUCCEEDED
            await submitting.stop()

    run(story())


async def stands_held(handle, rule):
    for _ in range(2_000):
        if (await handle.arefresh()).task.held == rule:
            return handle.task
        await asyncio.sleep(0.005)
    raise AssertionError(handle.task)


def test_what_a_task_says_that_it_needs_is_its_limit_but_never_more_than_the_configuration_gives():
    async def story():
        allowed = AllowList([command("python", "python -c {text}", limits=Limits(memory=256 * MIB))])
        grow = "python -c 'a = bytearray(200 << 20); a[::4096] = bytes(len(a[::4096])); print(len(a))'"
        async with engine_with(allowed) as engine:
            small = await engine.commands.aenqueue(grow, resources={"memory": "64MiB"}, max_crashes=0)
            task = await end_of(small)
            assert (task.state, task.error.reason) == (State.FAILED, reasons.POISON)
            assert "limit of 67,108,864 bytes" in task.error.message
            large = await engine.commands.aenqueue(grow, resources={"cpu": 1, "memory": "1GB"})
            assert (await end_of(large)).state is State.SUCCEEDED

    run(story())


def test_a_task_that_no_worker_can_ever_take_is_told_so(tmp_path):
    async def story():
        async with engine_with(url=f"sqlite:///{tmp_path}/a.db", worker_cpu=2, worker_memory="1GiB") as engine:
            handle = await engine.commands.aenqueue("python -c 1", resources={"cpu": 3})
            task = await stands_held(handle, reasons.NO_WORKER_FITS)
            why = await engine.service.why(handle.id)
            assert (why.code, why.params["largest"]) == (reasons.NO_WORKER_FITS, {"cpu": 2.0, "memory": 1 << 30})
            assert (task.state, task.attempt) == (State.QUEUED, 0)
            async with engine_with(url=f"sqlite:///{tmp_path}/a.db", worker_cpu=3):
                assert (await end_of(handle)).state is State.SUCCEEDED

    run(story())


def test_commands_run_from_synchronous_code():
    engine = engine_with()
    with engine:
        handle = engine.commands.enqueue("python -c 'print(1)'")
        assert handle.result(20)["exit_code"] == 0


def test_the_open_list_takes_any_program_of_the_path_and_the_worker_checks_it_again():
    async def story():
        async with engine_with(open_list(ALLOWED)) as engine:
            handle = await engine.commands.aenqueue("sh -c 'echo $((6 * 7))'")
            task = await end_of(handle)
            assert (task.function, task.state) == ("command:*", State.SUCCEEDED)
            assert [line.message for line in await handle.alogs()] == ["42"]
            assert (await end_of(await engine.commands.aenqueue("python -c 'print(1)'"))).function == "command:python"
            for text in ("nosuch-program", "./sh", "/nonexistent/sh", "../bin/sh"):
                with pytest.raises(InvalidValue, match="there is no program"):
                    await engine.commands.aenqueue(text)

    run(story())


def test_a_row_cannot_make_the_open_list_run_what_is_not_on_the_path(tmp_path):
    program = tmp_path / "evil"
    program.write_text("#!/bin/sh\necho evil\n")
    program.chmod(0o755)
    made = open_list(NO_COMMANDS)
    shell = find_program("sh")
    assert made.recheck("*", [shell, "-c", "id"]).run_as == ("nobody" if ROOT else None)
    for argv in ([str(program)], ["sh"], [], [f"{shell}/../sh"]):
        with pytest.raises(CommandNotAllowed):
            made.recheck("*", argv)


def test_an_engine_reads_its_commands_from_the_file_beside_it(tmp_path, monkeypatch):
    (tmp_path / "angelica.toml").write_text('[commands.id]\npattern = "id"\nprogram = "/usr/bin/id"\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    assert list(Engine("memory:").settings.commands.commands) == ["id"]
