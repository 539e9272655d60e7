"""However a test run ends, its servers are gone: pytest itself is run here, and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import leftovers
from tests.postgres.binaries import given_url
from tests.testing_kit.loading import ALONE

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # two nested runs start a server each, beside another test on the same two cores
pytestmark = [pytest.mark.slow, pytest.mark.postgres]
TESTS = """
import json, os, pathlib, signal, time
import pytest
from tests.postgres.session import session

HERE = pathlib.Path(__file__).parent

@pytest.mark.parametrize("number", [0, 1])
def test_inner(number, request, postgres_cluster, postgres_url):
    if number == 0:
        request.getfixturevalue("own_cluster")
    directory = session().directory
    pids = [int(file.read_text().split()[0]) for file in directory.glob("*/data/postmaster.pid")]
    told = HERE / f"told-{number}.new"
    told.write_text(json.dumps({"directory": str(directory), "pids": pids, "url": postgres_cluster.url()}))
    told.rename(told.with_suffix(".json"))
    if (HERE / "die").exists() and number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    while (HERE / "wait").exists():
        time.sleep(0.05)
"""
Ending = Callable[[subprocess.Popen[bytes]], None]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    if given_url() is not None:
        pytest.skip("the server is not ours to stop")
    (tmp_path / "test_inner.py").write_text(TESTS, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    return tmp_path


def run(here: Path, end: Ending, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the inner tests, `end` them when both have begun, return the exit code and what they told."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    plugins = ["-p", "tests.postgres.fixtures", "-p", "xdist"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "--rootdir", here, *options, here]
    with (here / "output").open("wb") as output:
        inner = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**environment, **ALONE},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until(lambda: len(list(here.glob("told-*.json"))) == 2 or inner.poll() is not None)
    end(inner)
    code = inner.wait(PATIENCE)
    told = [json.loads(path.read_text("utf-8")) for path in here.glob("told-*.json")]
    assert len(told) == 2, (here / "output").read_text("utf-8")
    return code, told


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def nothing_is_left(told: list[dict[str, Any]]) -> bool:
    gone = [not Path(str(each["directory"])).exists() for each in told]
    pids = {pid for each in told for pid in each["pids"]}
    return all(gone) and all("postgres" not in leftovers.command_of(pid) for pid in pids)


def let_it_end(inner: subprocess.Popen[bytes]) -> None:
    pass


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_at_the_end_nothing_is_left(here: Path, options: tuple[str, ...]) -> None:
    code, told = run(here, let_it_end, *options, "-p", "no:cacheprovider")
    assert code == 0
    assert len({each["url"] for each in told}) == 1
    assert nothing_is_left(told)


def test_a_worker_that_dies_leaves_nothing(here: Path) -> None:
    (here / "die").touch()
    code, told = run(here, let_it_end, "-n", "2", "-p", "no:cacheprovider")
    assert code == 1
    assert nothing_is_left(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda it: it.name)
def test_a_run_that_is_ended_from_outside_leaves_nothing(here: Path, number: signal.Signals) -> None:
    (here / "wait").touch()

    def end(inner: subprocess.Popen[bytes]) -> None:
        # Ctrl-C reaches all processes of a terminal, the out-of-memory killer takes one.
        if number == signal.SIGINT:
            os.killpg(inner.pid, number)
        else:
            inner.send_signal(number)

    code, told = run(here, end, "-n", "2", "-p", "no:cacheprovider")
    assert code != 0
    until(lambda: nothing_is_left(told))
