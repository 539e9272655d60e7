"""The processes under attack: `angelica serve` with its children, or single workers, each in its own process group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import angelica
from bench.chaos.ledger import TOKEN
from bench.chaos.witness import VARIABLE, moment

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[2]
APP: Final = "bench.chaos.app:engine"
BROKEN: Final = "bench.chaos.broken:engine"
START: Final = 30.0
LOOK: Final = 0.01


class TooLate(AssertionError):
    """Something that must happen did not happen in time."""


def until(what: str, true: Callable[[], T], seconds: float = START) -> T:
    """Look again and again until `true` answers something true, and return that; raises `TooLate`."""
    ends = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > ends:
            raise TooLate(f"{what}: not within {seconds:g} s")
        time.sleep(LOOK)
    return found


@dataclass(frozen=True, slots=True)
class Kill:
    """One `kill -9`: when, what was aimed at, and the processes that died of it (children included)."""

    at: int
    target: str
    pids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its files; `url` is the address of a store that is no file."""

    directory: Path
    url: str | None = None

    @property
    def address(self) -> str:
        """The store, as a process of the run is told."""
        return str(self.store) if self.url is None else self.url

    @property
    def store(self) -> Path:
        return self.directory / "chaos.db"

    @property
    def witness(self) -> Path:
        return self.directory / "witness"

    @property
    def writer_lock(self) -> Path:
        """The file whose lock a process holds while it writes."""
        return self.store.with_name(f"{self.store.name}-run") / "writer.lock"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of every process: none of our own settings, and the code that we run ourselves."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGELICA_")}
        code = [str(ROOT), str(Path(angelica.__file__).parents[1]), *kept.get("PYTHONPATH", "").split(os.pathsep)]
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(filter(None, code)),
            "ANGELICA_TOKEN": TOKEN,
            VARIABLE: str(self.witness),
            **more,
        }


class Group:
    """One process group, started by one command line."""

    def __init__(self, place: Place, name: str, argv: list[str], env: Mapping[str, str]) -> None:
        self._out = place.directory / f"{name}.out"
        self._errors = place.directory / f"{name}.err"
        with self._out.open("w") as out, self._errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                cwd=place.directory,
                env=place.environment(env),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        """Return what it has printed so far."""
        return self._out.read_text()

    def errors(self) -> str:
        """Return what it, and those of its name before it, wrote to stderr."""
        return self._errors.read_text()

    def pids(self) -> frozenset[int]:
        """Return the living processes of the group."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[2]) == self.pid and fields[0] != "Z":
                        found.add(int(entry.name))
        return frozenset(found)

    def children(self, kind: str) -> list[int]:
        """Return the living children of a kind, `worker` or `api`, oldest first."""
        return sorted(pid for pid in self.pids() if pid != self.pid and kind in _words(pid))

    def kill(self, target: str = "group", pids: frozenset[int] | None = None) -> Kill:
        """Kill the whole group, or the processes named (with all that dies of it), and wait until they are gone."""
        victims = self.pids() if pids is None or self.pid in pids else pids
        at = moment()
        if pids is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        for pid in pids or ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.pid in victims:
            self.process.wait(10)
        until("killed processes are gone", lambda: not victims & self.pids(), 10)
        return Kill(at, target, victims)

    def signal(self, number: int) -> None:
        """Send a signal to the first process of the group."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stopped(self) -> bool:
        """Whether the first process stands still."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)
        until("the group is gone", lambda: not self.pids(), 10)


class Server(Group):
    """`angelica serve` on a free port."""

    def __init__(
        self,
        place: Place,
        *,
        workers: int = 1,
        concurrency: int | None = None,
        app: str = APP,
        env: Mapping[str, str] | None = None,
    ) -> None:
        argv = ["angelica.cli", "serve", "--url", place.address, "--port", "0", "-w", str(workers)]
        argv += [] if concurrency is None else ["-c", str(concurrency)]
        super().__init__(place, "serve", [*argv, app], env or {})
        self._url = ""

    def ready(self) -> bool:
        """Whether all children have said that they are ready, so that the address is known."""
        if self.process.poll() is not None:
            raise TooLate(f"angelica serve exited with {self.process.returncode}:\n{self.errors()[-2000:]}")
        for line in self.output().splitlines():
            if line.startswith("API ") and line.endswith("/docs"):
                self._url = line.split()[1]
        return bool(self._url)

    @property
    def url(self) -> str:
        """The address of its API."""
        if not self._url:
            until("angelica serve is ready", self.ready)
        return self._url


class Worker(Group):
    """`angelica worker`: one worker process without a supervisor."""

    def __init__(
        self, place: Place, name: str, *, app: str = APP, queues: str = "default", env: Mapping[str, str] | None = None
    ) -> None:
        argv = ["angelica.cli", "worker", "--url", place.address, "-Q", queues, app]
        super().__init__(place, name, argv, env or {})

    def ready(self) -> bool:
        """Whether it has registered."""
        if self.process.poll() is not None:
            raise TooLate(f"angelica worker exited with {self.process.returncode}:\n{self.errors()[-2000:]}")
        return "  worker " in self.errors()


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []
