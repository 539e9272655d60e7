"""How commands end that do not want to, with control groups and without; and who cleans up when somebody is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

from angelica.domain.command import Limits
from angelica.runtime.commands import helper_process
from angelica.runtime.commands import runner as runner_module
from angelica.runtime.commands.helper_process import RunnerFailed
from angelica.runtime.limits import proc
from angelica.runtime.limits.machine import NOTHING, probe
from tests.command.house import (
    GONE_WITHIN,
    PYTHON,
    alive,
    left_in,
    play,
    ran,
    run,
    runner_in,
    until,
)  # fmt: skip

MIB = 1 << 20
HERE = probe()
BOTH = pytest.mark.parametrize("groups", [True, False], ids=["best", "no-groups"])


def means(groups):
    return (HERE if groups else NOTHING).means()


def canary():
    return f"canary-{uuid.uuid4().hex}"


def sleeper(name):
    """Python that sleeps for long, with the canary in its command line."""
    return f"{PYTHON} -c 'import time; time.sleep(300)' {name}"


@BOTH
def test_what_this_machine_can_do_is_said(directory, groups):
    async def story():
        async with runner_in(directory, groups=groups) as runner:
            return await runner.start()

    facts = play(story())
    assert facts["means"] == means(groups)
    assert set(facts["means"]) == {"memory", "cpu", "pids", "kill", "cpu_seconds", "peak_memory"}
    if "watchdog" in facts["means"].values() and groups:
        assert facts["notes"], "something better is not used, and nobody says why"


@BOTH
def test_a_time_out_ends_a_spin_that_ignores_sigterm(directory, groups):
    name = canary()
    script = "import signal, sys\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass"
    done = run(directory, PYTHON, "-c", script, name, timeout=0.6, grace=0.4, groups=groups)
    assert (done.end.reason, done.end.signal) == ("timeout", 9)
    assert done.end.killed_by == means(groups)["kill"]
    assert 1.0 <= done.end.seconds < 1.0 + GONE_WITHIN
    assert alive(name) == []
    assert left_in(directory) == []
    assert done.end.usage.cpu_source == means(groups)["cpu_seconds"]
    assert 0.01 < done.end.usage.cpu_seconds < 2.5


def test_one_that_heeds_sigterm_can_say_its_last_words(directory):
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    done = run(directory, "/bin/sh", "-c", script, timeout=0.5, grace=5)
    assert (done.end.reason, done.end.exit_code, done.out) == ("timeout", 0, ["ready", "bye"])
    assert done.end.seconds < 2


def test_one_that_is_stopped_hears_sigterm_all_the_same(directory):
    done = run(directory, "/bin/sh", "-c", "kill -STOP $$; sleep 100", timeout=0.4, grace=10)
    assert (done.end.reason, done.end.signal) == ("timeout", 15)


@BOTH
def test_stop_and_hasten(directory, groups):
    async def story():
        async with runner_in(directory, groups=groups) as runner:
            for hastened in (False, True):
                stop, hasten, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()
                script = "trap '' TERM; echo up; while :; do sleep 0.02; done"
                task = asyncio.create_task(
                    ran(runner, "/bin/sh", "-c", script, stop=stop, hasten=hasten, grace=20 if hastened else 0.2,
                        on_lines=lambda *_, begun=begun: begun.set())
                )  # fmt: skip
                await begun.wait()
                stop.set()
                if hastened:
                    hasten.set()
                done = await task
                assert (done.end.reason, done.end.signal) == ("stopped", 9)
                assert done.end.killed_by == means(groups)["kill"]

    play(story())


@BOTH
def test_a_grandchild_in_a_session_of_its_own_goes_too(directory, groups):
    name = canary()
    # Two forks and setsid, its output kept open, its environment wiped: no group, parent or mark leads to it.
    script = f"(setsid env -i {sleeper(name)} &) ; sleep 0.3; echo done"
    done = run(directory, "/bin/sh", "-c", script, groups=groups)
    assert (done.end.reason, done.end.exit_code, done.out) == ("exited", 0, ["done"])
    assert done.end.killed_by == means(groups)["kill"]
    assert done.took < 0.3 + 0.25 + GONE_WITHIN
    assert alive(name) == []


@BOTH
def test_memory_past_the_limit_ends_it(directory, groups):
    script = """
        import time
        kept = []
        for _ in range(400):
            kept.append(bytearray(1 << 20))
            time.sleep(0.002)
        time.sleep(60)
    """
    done = run(directory, PYTHON, "-c", textwrap.dedent(script), limits=Limits(memory=64 * MIB), groups=groups)
    assert (done.end.reason, done.end.signal) == ("out_of_memory", 9)
    usage = done.end.usage
    assert usage.memory_source in (
        ("proc", "rusage") if means(groups)["peak_memory"] == "rusage" else (means(groups)["peak_memory"],)
    )
    assert 60 * MIB < usage.peak_memory < 450 * MIB
    assert left_in(directory) == []


@BOTH
def test_the_memory_of_a_tree_counts_together(directory, groups):
    child = "import time; kept = bytearray(30 << 20); time.sleep(60)"
    start = f"last = subprocess.Popen([sys.executable, '-c', {child!r}])"
    script = f"import subprocess, sys\nfor _ in range(4): {start}\nlast.wait()"
    done = run(directory, PYTHON, "-c", script, limits=Limits(memory=80 * MIB), groups=groups, timeout=20)
    # With control groups of version 1 the kernel kills one child, not the tree: what its parent makes of it counts.
    assert done.end.reason in ("out_of_memory", "exited", "timeout"), done.why
    assert done.end.usage.peak_memory > 70 * MIB
    if not groups:
        assert done.end.reason == "out_of_memory"
        assert done.end.killed_by == "process tree"


def test_an_allocation_faster_than_the_watchdog_meets_the_backstop(directory):
    done = run(directory, PYTHON, "-c", "bytearray(8 << 30)", limits=Limits(memory=64 * MIB), groups=False)
    assert (done.end.reason, done.end.exit_code) == ("exited", 1)
    assert done.err[-1] == "MemoryError"


@BOTH
def test_a_fork_bomb_is_bounded(directory, groups):
    script = """
        import os, time
        made = failed = 0
        while made + failed < 300:
            try:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
                made += 1
            except OSError:
                failed += 1
        print(made, failed, flush=True)
    """
    done = run(directory, PYTHON, "-c", textwrap.dedent(script), limits=Limits(pids=20), groups=groups, timeout=20)
    assert done.end.exit_code == 0, done.why
    made, failed = map(int, done.out[0].split())
    assert made + failed == 300
    # Without groups the limit is on all that the user runs, and others of the user may come and go.
    assert 1 <= made <= (19 if means(groups)["pids"] != "rlimit" else 150), done.out
    assert done.end.killed_by == means(groups)["kill"]
    assert left_in(directory) == []


@BOTH
def test_a_bomb_whose_children_fork_on_is_gone_in_time(directory, groups):
    name = canary()
    script = "import os, sys\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    done = run(directory, PYTHON, "-c", script, name, limits=Limits(pids=30), groups=groups, timeout=0.6, grace=0.1)
    assert done.end.reason == "timeout"
    assert done.end.seconds < 0.7 + GONE_WITHIN
    assert alive(name) == []


def test_the_cpus_are_bounded(directory):
    script = (
        "import os, time\nprint(len(os.sched_getaffinity(0)))\nends = time.time() + 1\nwhile time.time() < ends: pass"
    )
    for groups in (True, False):
        done = run(directory, PYTHON, "-c", script, limits=Limits(cpu=0.25), groups=groups)
        assert done.end.exit_code == 0, done.why
        if means(groups)["cpu"] == "affinity":
            assert done.out == ["1"]
        else:
            assert done.end.usage.cpu_seconds < 0.6


@BOTH
def test_the_cpu_seconds_of_a_whole_tree_are_told(directory, groups):
    spin = f"{PYTHON} -c 'import time\nwhile time.process_time() < 0.25: pass'"
    # Two are waited for, one is orphaned, and one leaves the session.
    script = f"""
        {spin}
        ({spin}; : > $TMPDIR/orphan) &
        (setsid sh -c "{spin}; : > $TMPDIR/session" &)
        {spin}
        until [ -e $TMPDIR/orphan ] && [ -e $TMPDIR/session ]; do sleep 0.05; done
        sleep 0.2
    """
    done = run(directory, "/bin/sh", "-c", script, groups=groups)
    assert done.end.exit_code == 0, done.why
    assert done.end.usage.cpu_source == means(groups)["cpu_seconds"]
    assert 0.75 < done.end.usage.cpu_seconds < 2


def test_children_that_nobody_waits_for_are_buried(directory):
    script = """
        import os, time

        def is_zombie_of_the_keeper(pid):
            try:
                state, parent = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[:2]
            except OSError:
                return False
            return state == "Z" and int(parent) == os.getppid()

        for _ in range(200):
            if os.fork() == 0:
                if os.fork() == 0:
                    os._exit(0)
                os._exit(0)
            os.wait()
        time.sleep(0.2)
        print(sum(is_zombie_of_the_keeper(pid) for pid in os.listdir("/proc") if pid.isdigit()))
    """
    done = run(directory, PYTHON, "-c", textwrap.dedent(script), limits=Limits(pids=60), timeout=20)
    assert (done.end.exit_code, done.out) == (0, ["0"]), done.why


# -- somebody is killed ---------------------------------------------------------------------------------------------


@BOTH
def test_the_helper_is_killed(directory, groups):
    name = canary()

    async def story():
        async with runner_in(directory, groups=groups) as runner:
            begun, stop = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(
                ran(runner, "/bin/sh", "-c", f"echo up; {sleeper(name)}", stop=stop, on_lines=lambda *_: begun.set())
            )
            await begun.wait()
            first = runner.helper_pid
            os.kill(first, signal.SIGKILL)
            # The next command gets another helper, and the one that runs is still held.
            assert (await ran(runner, "/bin/echo", "again")).out == ["again"]
            assert runner.helper_pid != first
            assert not task.done()
            stop.set()
            assert (await task).end.reason == "stopped"

    play(story())
    assert alive(name) == []
    assert left_in(directory) == []


@BOTH
def test_the_keeper_is_killed(directory, groups):
    name = canary()

    async def story():
        async with runner_in(directory, groups=groups) as runner:
            lines = []
            script = f"(setsid env -i {sleeper(name)} &) ; cut -d' ' -f4 /proc/self/stat; echo $PPID; {sleeper(name)}"
            task = asyncio.create_task(
                ran(runner, "/bin/sh", "-c", script, on_lines=lambda _, more: lines.extend(more))
            )
            await until(lambda: len(lines) == 2 and len(alive(name)) >= 2)
            os.kill(int(lines[1]), signal.SIGKILL)
            done = await task
            assert done.end.reason == "crashed"
            await until(lambda: alive(name) == [], GONE_WITHIN)
            assert (await ran(runner, "/bin/echo", "on")).out == ["on"]

    play(story())
    assert left_in(directory) == []


def test_keeper_and_helper_are_killed_at_once(directory):
    name = canary()

    async def story():
        async with runner_in(directory) as runner:
            lines = []
            script = f"(setsid {sleeper(name)} &) ; echo $PPID; {sleeper(name)}"
            task = asyncio.create_task(
                ran(runner, "/bin/sh", "-c", script, on_lines=lambda _, more: lines.extend(more))
            )
            await until(lambda: lines and len(alive(name)) >= 2)
            os.kill(runner.helper_pid, signal.SIGSTOP)  # so that it cannot clean up
            os.kill(int(lines[0]), signal.SIGKILL)
            os.kill(runner.helper_pid, signal.SIGKILL)
            assert (await task).end.reason == "crashed"
            assert alive(name) == []

    play(story())
    assert left_in(directory) == []


@BOTH
def test_a_keeper_that_was_stopped_does_not_hold_the_worker(directory, groups, monkeypatch):
    monkeypatch.setattr(runner_module, "OVERDUE", 0.5)
    name = canary()

    async def story(**how):
        async with runner_in(directory, groups=groups) as runner:
            lines, stop = [], asyncio.Event()
            script = f"(setsid {sleeper(name)} &) ; echo $PPID; {sleeper(name)}"
            task = asyncio.create_task(
                ran(runner, "/bin/sh", "-c", script, stop=stop, on_lines=lambda _, more: lines.extend(more), **how)
            )
            await until(lambda: lines and len(alive(name)) >= 2)
            os.kill(int(lines[0]), signal.SIGSTOP)
            if not how:
                stop.set()
            assert (await task).end.reason == "crashed"

    for how in ({}, {"timeout": 0.5}):
        play(story(**how))
        assert alive(name) == []
        assert left_in(directory) == []


def test_a_helper_that_was_stopped_is_replaced(directory, monkeypatch):
    monkeypatch.setattr(runner_module, "FORK_WITHIN", 0.3)
    monkeypatch.setattr(helper_process, "LEAVE_WITHIN", 0.3)

    async def story():
        async with runner_in(directory) as runner:
            await runner.start()
            os.kill(runner.helper_pid, signal.SIGSTOP)
            assert (await ran(runner, "/bin/echo", "on")).out == ["on"]

    play(story())
    assert left_in(directory) == []


def test_a_helper_that_cannot_start_is_told(directory, monkeypatch):
    monkeypatch.setattr(helper_process, "_PROGRAM", "raise SystemExit(3)")
    with pytest.raises(RunnerFailed, match="did not start"):
        run(directory, "/bin/true")


def test_a_cancelled_run_is_killed_and_leaves_nothing(directory):
    name = canary()

    async def story():
        async with runner_in(directory) as runner:
            begun = asyncio.Event()
            script = f"trap '' TERM; echo up; {sleeper(name)}; {sleeper(name)}"
            task = asyncio.create_task(ran(runner, "/bin/sh", "-c", script, on_lines=lambda *_: begun.set()))
            await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await until(lambda: alive(name) == [] and left_in(directory) == [], GONE_WITHIN)

    play(story())


WORKER = """
import asyncio, sys
sys.path[:0] = {path!r}
from angelica.runtime.commands.runner import CommandRunner
from tests.command.house import spec

async def main():
    runner = CommandRunner({directory!r})
    await runner.run(spec("/bin/sh", "-c", {script!r}), on_lines=on_lines)

def on_lines(stream, lines):
    print(*lines, flush=True)
    {on_lines}

asyncio.run(main())
"""


def start_worker(directory, script, on_lines="", **more):
    program = WORKER.format(path=sys.path, directory=directory, script=script, on_lines=on_lines)
    file = Path(directory).parent / "worker.py"  # not in the command line: there, it would look like what it runs
    file.write_text(program, "utf-8")
    return subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True, **more)


def test_the_worker_is_killed_with_its_whole_process_group(directory):
    name = canary()
    worker = start_worker(
        directory,
        f"trap '' TERM HUP; (setsid env -i {sleeper(name)} &) ; echo up; {sleeper(name)}",
        start_new_session=True,
    )
    with worker:
        assert worker.stdout.readline() == "up\n"
        assert len(left_in(directory)) >= 1
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        play(until(lambda: alive(name) == [] and left_in(directory) == [], GONE_WITHIN))


def test_a_worker_that_dies_while_a_fork_of_it_holds_the_lines(directory):
    name = canary()
    # The fork has copies of all its sockets: no end of a line tells that the worker is gone.
    forking = "import os, time\nif os.fork() == 0: time.sleep(8); os._exit(0)\n"
    script = f"echo up; {sleeper(name)}"
    with start_worker(directory, script, on_lines=f"exec({forking!r})") as worker:
        assert worker.stdout.readline() == "up\n"
        assert len(left_in(directory)) >= 1
        os.kill(worker.pid, signal.SIGKILL)
        play(until(lambda: alive(name) == [] and left_in(directory) == [], GONE_WITHIN))


def test_a_service_manager_that_tells_everybody_to_end_does_not_crash_the_command(directory):
    async def story():
        async with runner_in(directory) as runner:
            lines = []
            script = "trap 'echo heard; exit 7' TERM; echo $PPID; while :; do sleep 0.02; done"
            task = asyncio.create_task(
                ran(runner, "/bin/sh", "-c", script, on_lines=lambda _, more: lines.extend(more))
            )
            await until(lambda: lines)
            shell = next(iter(proc.family(int(lines[0]))))
            for pid in (runner.helper_pid, int(lines[0]), shell):
                os.kill(pid, signal.SIGTERM)
            done = await task
            assert (done.end.reason, done.end.exit_code, done.out[-1]) == ("exited", 7, "heard")

    play(story())


def test_modules_beside_the_worker_cannot_stand_in_for_the_library(directory, tmp_path, monkeypatch):
    for name in ("json", "selectors", "socket", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    assert run(directory, "/bin/echo", "fine").out == ["fine"]


def test_what_was_abandoned_is_swept_at_the_next_start(directory):
    name = canary()
    with start_worker(directory, f"(setsid {sleeper(name)} &) ; echo $PPID; {sleeper(name)}") as worker:
        keeper = int(worker.stdout.readline())
        play(until(lambda: len(alive(name)) >= 2))
        helper = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
        for pid in (worker.pid, helper, keeper):
            os.kill(pid, signal.SIGSTOP)
        for pid in (worker.pid, helper, keeper):  # as if the machine's memory had run out
            os.kill(pid, signal.SIGKILL)
        worker.wait()
    assert len(left_in(directory)) >= 1

    async def story():
        async with runner_in(directory) as runner:
            return (await runner.start())["swept"]

    assert len(play(story())) == 1
    assert alive(name) == []
    assert left_in(directory) == []


def test_a_living_keeper_is_not_swept(directory):
    async def story():
        async with runner_in(directory) as one, runner_in(directory) as other:
            begun, stop = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(
                ran(one, "/bin/sh", "-c", "echo up; sleep 100", stop=stop, on_lines=lambda *_: begun.set())
            )
            await begun.wait()
            assert (await other.start())["swept"] == []
            assert not task.done()
            stop.set()
            assert (await task).end.reason == "stopped"

    play(story())


def test_many_at_once(directory):
    async def story():
        async with runner_in(directory) as runner:
            done = await asyncio.gather(*(ran(runner, "/bin/sh", "-c", f"echo {n}; exit {n}") for n in range(24)))
            assert [(each.end.exit_code, each.out) for each in done] == [(n, [str(n)]) for n in range(24)]

    play(story())
    assert left_in(directory) == []


def test_a_directory_of_somebody_else_is_refused(directory, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for path in (tmp_path / "link", tmp_path / "open"):
        with pytest.raises(Exception, match="not a directory that we alone can write to"):
            run(str(path), "/bin/true")


def test_the_figures_of_a_small_command_are_small(directory):
    async def story():
        ballast = bytearray(200 * MIB)  # in this process: what wait4 said of a direct child would not be below it
        async with runner_in(directory, groups=False) as runner:
            begun = time.monotonic()
            done = await ran(runner, "/bin/true")
            assert done.end.usage.memory_source == "rusage"
            assert 0 < done.end.usage.peak_memory < 30 * MIB
            assert 0 <= done.end.usage.cpu_seconds < time.monotonic() - begun
            return len(ballast)

    play(story())
