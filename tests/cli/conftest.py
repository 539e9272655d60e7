"""The command line as users run it: in processes of its own, in a directory of its own."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import angelica
from tests.cli.zygote import Zygote

SOURCE = str(Path(angelica.__file__).parents[1])
APP = """
import os, signal, time
from angelica import Engine
engine = Engine()

@engine.task(retries=0)
async def add(a: int, b: int = 0) -> int:
    print("adding")
    return a + b

@engine.task(max_crashes=5)
async def die_once(marker: str) -> str:
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"
"""


@dataclass
class Done:
    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGELICA_")}
    return {**kept, "PYTHONPATH": SOURCE, "PYTHONWARNINGS": "error::UserWarning:click", **more}


@cache
def zygote() -> Zygote:
    made = Zygote(environment())
    atexit.register(made.close)
    return made


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "angelica.cli", *arguments]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Done]:
    def call(*arguments: str, stdin: str = "", cwd: Path = tmp_path, **env: str) -> Done:
        return Done(*zygote().run(arguments, cwd=cwd, env=environment(**env), stdin=stdin))

    return call


class Server:
    """A running `dev` or `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path, cwd: Path) -> None:
        self.process = process
        self._out = out
        self._err = err
        self.cwd = cwd

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def url(self) -> str:
        return next(line.split()[1] for line in self.out.splitlines() if line.startswith("API"))

    def until(self, true: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.err}"
            assert time.monotonic() < deadline, f"nothing in {seconds} s: {self.out} {self.err}"
            time.sleep(0.02)

    def children(self) -> dict[str, int]:
        """The children by what they are (`api`, `worker`), with their pids."""
        found = {}
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "angelica.cli" in words:
                found[words[words.index("angelica.cli") + 1]] = int(pid)
        return found


@contextmanager
def serving(cwd: Path, *arguments: str, **env: str) -> Iterator[Server]:
    """Run a server until the block ends; it must then leave within seconds, with code 0 unless it was killed."""
    out, err = cwd / "stdout", cwd / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command(*arguments, "--port", "0"), cwd=cwd, env=environment(**env), stdout=stdout, stderr=stderr
        )
    server = Server(process, out, err, cwd)
    pids: list[int] = []
    try:
        server.until(lambda: "API" in server.out)
        pids = list(server.children().values())
        yield server
        if process.poll() is None:
            pids += server.children().values()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, server.err
    finally:
        process.kill()
        process.wait(10)
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a child outlives its supervisor"
        time.sleep(0.02)
