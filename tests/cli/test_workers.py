"""`angelica workers`: seen, drained and stopped from another process, under a supervisor and without one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import command, environment, serving


def listed(run: Any) -> list[dict[str, Any]]:
    return json.loads(run("workers", "list", "-o", "json").out or "[]")  # type: ignore[no-any-return]


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def worker(cwd: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (cwd / "worker.err").open("ab") as err:
        process = subprocess.Popen(command("worker", *arguments), cwd=cwd, env=environment(), stderr=err)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.slow
def test_a_worker_of_any_process_is_drained_resumed_and_stopped(run, tmp_path: Path) -> None:
    assert run("enqueue", "angelica.hello", "--id", "first").code == 0
    with worker(tmp_path, "--label", "gpu=true", "--label", "zone=a", "-c", "2") as process:
        until(lambda: listed(run))
        (row,) = listed(run)
        assert (row["state"], row["labels"], row["slots"]) == ("running", {"gpu": "true", "zone": "a"}, 2)
        assert row["capacity"]["async"] == 2
        assert "gpu=true,zone=a" in run("workers", "list").out
        assert run("workers", "show", row["worker_id"]).out.startswith("worker_id ")
        done = run("workers", "drain", "--label", "gpu=true", "--wait", "-o", "json")
        assert (done.code, json.loads(done.out)[0]["state"]) == (0, "draining")
        run("enqueue", "angelica.hello", "--id", "second", "--requires", "gpu=true", "--requires", "zone=a")
        time.sleep(1.5)
        assert json.loads(run("tasks", "show", "second", "-o", "json").out)["state"] in ("queued", "blocked")
        assert run("workers", "resume", row["worker_id"]).code == 0
        assert run("tasks", "wait", "second", "-t", "10s").code == 0
        assert run("workers", "stop", "--all", "--wait").code == 0
        assert process.wait(10) == 0
        assert listed(run) == []


@pytest.mark.slow
def test_the_supervisor_does_not_start_a_stopped_worker_again(run, tmp_path: Path) -> None:
    with serving(tmp_path, "dev", "-w", "2") as server:
        until(lambda: len(listed(run)) == 2)
        gone = listed(run)[0]
        assert run("workers", "stop", gone["worker_id"], "--wait").code == 0
        server.until(lambda: "is not started again" in server.err)
        time.sleep(0.5)
        (left,) = listed(run)
        assert left["worker_id"] != gone["worker_id"]
        done = run("enqueue", "angelica.hello", "--wait")
        assert done.out == '"hello, world"\n'


def test_somebody_must_be_meant(run, tmp_path: Path) -> None:
    assert run("enqueue", "angelica.hello").code == 0
    assert run("workers", "drain").code == 2
    assert run("workers", "drain", "--host", "nowhere").code == 2
    assert run("workers", "stop", "no/body").code == 3
    assert run("worker", "--label", "gpu").code == 2
    assert run("worker", "--label", "gpu=a b").code == 2


@pytest.mark.slow
def test_tasks_that_nobody_can_run_are_told(run, tmp_path: Path) -> None:
    run("enqueue", "angelica.hello", "--id", "lost", "--requires", "gpu=true")
    with worker(tmp_path, "-l", "zone=a"):
        until(lambda: json.loads(run("tasks", "show", "lost", "-o", "json").out)["state"] == "blocked")
        why = run("tasks", "why", "lost").out
        assert "None of the 1 live worker has gpu=true" in why
        findings = json.loads(run("doctor", "-o", "json").out)
        (blocked,) = [each for each in findings if each["check"] == "blocked"]
        assert (blocked["state"], blocked["found"]) == ("warn", "1 of angelica.hello: no_capable_worker")
