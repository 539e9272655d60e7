"""How a child finds the application: scripts, packages, the command line, and what no child can find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import angelica
from angelica.errors import AngelicaError, NotLoadable
from angelica.runtime.startfile import read_started
from angelica.runtime.warm.loading import sources_of
from angelica.runtime.warm.wire import Source
from tests.process import app, house
from tests.process.house import children_of, lives, pid_in, until

ROOT = Path(__file__).parents[2]
TASKS = """
import os, pathlib, time
from app import engine

@engine.task(executor="process")
def waits(begun: str) -> None:
    pathlib.Path(begun).write_text(f"{os.getpid()}")
    time.sleep(60)
"""
SCRIPT = """
import os, sys
import angelica

engine = angelica.Engine("a.db", poll=0.1)
print("imported as", __name__, flush=True)

@engine.task(executor="process")
def where() -> str:
    return f"{__name__} {' '.join(sys.argv[1:])}"

if __name__ == "__main__":
    with engine:
        print(where.name, where.enqueue().result(20), flush=True)
"""


def environment():
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANGELICA_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


def output_of(command, cwd):
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_script_is_imported_under_its_own_name(tmp_path):
    (tmp_path / "a-script.py").write_text(SCRIPT)
    lines = output_of([sys.executable, "a-script.py", "x"], tmp_path)
    assert lines == ["imported as __main__", "imported as a-script", "a-script.where a-script x"]


def test_a_package_that_is_run_is_imported_by_its_name(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "__main__.py").write_text(SCRIPT)
    lines = output_of([sys.executable, "-m", "pack"], tmp_path)
    assert lines == ["imported as __main__", "imported as pack.__main__", "pack.where pack.__main__ "]


def test_a_script_without_a_guard_does_not_start_workers_in_workers(tmp_path):
    (tmp_path / "bare.py").write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    command = [sys.executable, "bare.py"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "under `if __name__" in line:
            break
    else:
        raise AssertionError("nothing was said")
    process.kill()
    process.communicate()


@contextmanager
def worker_process(tmp_path):
    """A worker of the command line, on an app of two modules."""
    (tmp_path / "app.py").write_text("import angelica\nengine = angelica.Engine(poll=0.1)\nimport tasks\n")
    (tmp_path / "tasks.py").write_text(TASKS)
    command = [sys.executable, "-m", "angelica.cli", "worker", "--url", "other.db", "app:engine"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_is_killed_takes_its_children_along_and_what_began_is_known(tmp_path):
    client = angelica.Engine(str(tmp_path / "other.db"))
    with worker_process(tmp_path) as worker:
        until((tmp_path / "other.db-run").is_dir, 20)
        until(lambda: list((tmp_path / "other.db-run").glob("*.started")), 20)

        @client.task(name="tasks.waits", executor="process")
        def waits(begun: str) -> None: ...

        handle = waits.enqueue(str(tmp_path / "begun"))
        pid = pid_in(tmp_path / "begun")
        assert pid in children_of(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        until(lambda: not lives(pid))
        (start_file,) = (tmp_path / "other.db-run").glob("*.started")
        assert [lease.task_id for lease in read_started(start_file)] == [handle.id]
    client.shutdown()


def test_an_engine_that_stands_nowhere_is_refused_when_its_worker_starts():
    engine = angelica.Engine("memory:")

    @engine.task(executor="process")
    def f() -> None: ...

    with pytest.raises(NotLoadable, match=r"worker MODULE:ATTR"), engine:
        pass


def test_sources_lead_to_the_engine_first_and_then_to_the_functions():
    functions = [function for function in app.engine.functions if function.executor == "process"]
    assert sources_of(app.engine, functions, None) == (Source("tests.process.app", "engine"),)
    assert sources_of(app.engine, functions, "app:main.engine") == (Source("app", "main.engine"),)
    assert sources_of(app.engine, [], None) == ()
    functions[0].handler.__module__, before = house.__name__, functions[0].handler.__module__
    try:
        assert sources_of(app.engine, functions, None) == (
            Source("tests.process.app", "engine"),
            Source("tests.process.house"),
        )
    finally:
        functions[0].handler.__module__ = before


def test_a_store_in_memory_is_not_reached_from_a_child():
    with house.running(process_slots=1):
        task = house.end_of(app.child_of.using(retries=0).enqueue(1))
    assert "in the memory of the worker's process" in task.error.message


def test_a_child_starts_no_worker(monkeypatch):
    monkeypatch.setenv("ANGELICA_CHILD_PID", str(os.getpid()))
    engine = angelica.Engine("memory:")
    with pytest.raises(AngelicaError, match="starts none itself"), engine:
        pass
