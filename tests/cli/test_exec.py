"""`angelica exec` and commands under `angelica dev`, as a user has them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import command, environment, serving
from tests.command.house import PYTHON, RUN_AS, alive

CONFIG = f"""
[commands.python]
pattern = "python -c {{text}}"
program = "{PYTHON}"
{f'run_as = "{RUN_AS}"' if RUN_AS else ""}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "angelica.toml").write_text(CONFIG, "utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_command_from_a_shell_to_its_exit_code(run, home: Path) -> None:
    with serving(home, "dev") as server:
        for where in ([], ["--api", server.url]):
            text = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
            done = run("exec", *where, "--", "python", "-c", text)
            assert (done.code, done.out) == (7, "out\n")
            assert "err\n" in done.err
            assert run("exec", *where, "--", "python", "-c", "print('--x  $HOME')").out == "--x  $HOME\n"
            assert run("exec", *where, "--", "python", "-c", "import os; os.kill(os.getpid(), 9)").code == 137
            assert (
                run("exec", "--timeout", "0.3", *where, "--", "python", "-c", "import time; time.sleep(30)").code == 124
            )
            refused = run("exec", *where, "--", "rm", "-rf", "/")
            assert (refused.code, "the nearest is 'python -c {text}'" in refused.err) == (4, True)
            done = run(
                "enqueue", "--command", "python -c 'print(1)'", "--cpu", "1", "--memory", "64MB", "--wait", *where
            )
            assert (done.code, json.loads(done.out)["exit_code"]) == (0, 0)
        assert run("enqueue").code == run("enqueue", "angelica.hello", "--command", "id").code == 2
        large = run("enqueue", "--command", "python -c 1", "--cpu", "1000", "--id", "large")
        assert (large.code, "warning: It needs 1000 CPUs" in large.err) == (0, True)
        assert "no live worker has that to give" in run("tasks", "why", "large").out
        shown = run("tasks", "list", "--name", "command:*", "-o", "json")
        tasks = [task for task in json.loads(shown.out) if task["task_id"] != "large"]
        assert all(task["kind"] == "command" and task["usage"]["peak_memory"] > 0 for task in tasks)
        assert "command limits" in run("doctor").out
        assert '{"python":"python -c {text}"}' in run("config", "show").out


@pytest.mark.slow
def test_ctrl_c_cancels_the_command(home: Path) -> None:
    canary = f"interrupted-{os.getpid()}"
    with serving(home, "dev"):
        asked = command(
            "exec", "--", "python", "-c", f"import time; print('begun', flush=True); time.sleep(60)  # {canary}"
        )
        process = subprocess.Popen(asked, cwd=home, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
        ends_at = time.monotonic() + 10
        while alive(canary):
            assert time.monotonic() < ends_at, "it outlives its interrupt"
            time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_worker_takes_its_command_along_and_the_task_runs_again(run, home: Path) -> None:
    canary = f"orphaned-{os.getpid()}"
    text = (
        f"import os, time; print('begun', flush=True); os.environ['TASK_ATTEMPT'] == '1' and time.sleep(60)  # {canary}"
    )
    with serving(home, "dev") as server:
        line = shlex.join(["python", "-c", text])
        assert run("enqueue", "--command", line, "--id", "job").code == 0
        server.until(lambda: "begun" in run("tasks", "logs", "job").out)
        assert alive(canary)
        os.kill(server.children()["worker"], signal.SIGKILL)
        assert run("tasks", "wait", "job", "-t", "30s").code == 0
        shown = json.loads(run("tasks", "show", "job", "-o", "json").out)
        assert (shown["attempt"], shown["failures"], shown["output"]) == (2, 0, {"exit_code": 0, "signal": None})
        assert not alive(canary)


@pytest.mark.slow
def test_all_programs_while_developing(run, tmp_path: Path) -> None:
    assert run("exec", "--", "id").code == 4
    assert run("dev", "--allow-commands", "--host", "0.0.0.0").code == 2  # noqa: S104 - what is refused
    with serving(tmp_path, "dev", "--allow-commands") as server:
        assert "Commands all of PATH may run" in server.out
        done = run("exec", "--api", server.url, "--", "sh", "-c", "echo $((6 * 7)); exit 3")
        assert (done.code, done.out) == (3, "42\n")
        refused = run("exec", "--api", server.url, "--", "no-such-program")
        assert (refused.code, "there is no program 'no-such-program' on the PATH" in refused.err) == (2, True)


def test_doctor_names_a_command_that_cannot_run(run, tmp_path: Path) -> None:
    wrong = '[commands.gone]\npattern = "gone"\nprogram = "/nonexistent/gone"\nfiles = ["missing.py"]\n'
    (tmp_path / "angelica.toml").write_text(wrong, "utf-8")
    done = run("doctor")
    assert done.code == 1
    assert "gone: /nonexistent/gone is no executable file" in done.out
    assert "missing.py cannot be read" in done.out
    assert sys.platform != "linux" or "memory by" in done.out
