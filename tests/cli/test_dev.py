"""`angelica dev`, as a user has it: start, submit, kill, edit, stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import APP, Server, command, environment, serving

SLOTS = 1_000 + min(32, (os.cpu_count() or 1) + 4) + len(os.sched_getaffinity(0))


def post(url: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    answer = httpx2.post(url, json=body, timeout=10)
    return answer.status_code, answer.json()


@pytest.mark.slow
def test_from_start_to_stop(run, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serving(tmp_path, "dev", "app:engine") as server:
        assert server.out.splitlines()[0].endswith(f"angelica.db (created)  1 worker, {SLOTS} slots")
        assert "Try      curl -sX POST localhost:" in server.out
        status, task = post(server.url + "/tasks", {"name": "angelica.hello", "kwargs": {"who": "world"}})
        assert status == 201

        for where in ([], ["--api", server.url]):
            done = run("enqueue", "app.add", "a=1", "b=2", "--wait", *where)
            assert (done.code, done.out) == (0, "3\n")
            assert "adding" in done.err
            done = run("enqueue", "angelica.fail", "--retries", "0", "--wait", *where)
            assert done.code == 1
            assert "RuntimeError: as you wished" in done.err
            assert run("enqueue", "app.add", "a=x", *where).code == 2
            assert run("tasks", "show", "nosuch", *where).code == 3
            assert run("tasks", "wait", str(task["task_id"]), *where).code == 0

        local = run("tasks", "list", "-o", "json")
        assert json.loads(local.out) == json.loads(run("tasks", "list", "-o", "json", "--api", server.url).out)
        assert "app.add" in run("functions", "list", "-o", "ids").out.split()
        assert json.loads(run("workers", "list", "-o", "json").out)[0]["pid"] == server.children()["worker"]
        assert run("doctor").code == 0
        assert run("enqueue", "app.add", "a=1", "--id", "job-1").code == 0
        assert run("enqueue", "app.add", "a=2", "--id", "job-1").code == 5
        assert run("tasks", "logs", "-f", "job-1").out == "adding\n"


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_its_task_runs_again(run, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serving(tmp_path, "dev", "app:engine") as server:
        began = time.monotonic()
        _, task = post(server.url + "/tasks", {"name": "app.die_once", "args": [str(tmp_path / "marker")]})
        ended = httpx2.get(f"{server.url}/tasks/{task['task_id']}?wait=20", timeout=30).json()
        took = time.monotonic() - began
        assert ended["status"] == "SUCCEEDED"
        assert ended["attempt"] == 2
        first = httpx2.get(f"{server.url}/tasks/{task['task_id']}/attempts").json()["items"][0]
        assert first["outcome"] == "crashed"
        assert "was killed by SIGKILL" in first["error"]["message"]
        assert took < 5.0  # well below the lease; 1.1 s where nothing else runs
        assert "starting it again" in server.err


@pytest.mark.slow
def test_kill_nine_of_the_supervisor_takes_all(tmp_path: Path) -> None:
    with serving(tmp_path, "dev") as server:
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)


@pytest.mark.slow
def test_broken_code_is_shown_and_a_correction_is_taken_up(run, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serving(tmp_path, "dev", "app:engine") as server:
        (tmp_path / "app.py").write_text("import nosuchmodule\n")
        server.until(lambda: "error: ModuleNotFoundError: No module named 'nosuchmodule'" in server.err)
        (tmp_path / "app.py").write_text(APP.replace("return a + b", "return a + b + 100"))

        def corrected() -> bool:
            return run("enqueue", "app.add", "a=1", "--wait").out == "101\n"

        server.until(corrected, 30)


def test_a_taken_port_is_told_in_one_line(run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("dev", "--port", str(port))
    assert done.code == 2
    assert done.err.splitlines() == [
        f"error: port: {port} on 127.0.0.1 is taken by another process",
        f"hint: choose another: --port {port + 1}, or --port 0 for any",
    ]


@pytest.mark.slow
def test_dev_says_that_it_waits_for_a_module_that_is_not_there(tmp_path: Path) -> None:
    err = tmp_path / "err"
    with err.open("wb") as stderr, (tmp_path / "out").open("wb") as stdout:
        words = command("dev", "later:engine", "--port", "0")
        process = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=stdout, stderr=stderr)
    server = Server(process, tmp_path / "out", err, tmp_path)
    try:
        server.until(lambda: "it is tried again" in server.err)
        assert "error: there is no module 'later'" in server.err
        (tmp_path / "later.py").write_text(APP)
        server.until(lambda: "API" in server.out, 30)
    finally:
        process.terminate()
        assert process.wait(30) == 0
