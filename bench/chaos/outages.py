"""What happens to a database server and to the network before it, each as a function of the house under attack."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.chaos.fleet import until
from bench.chaos.postgres_store import PostgresStore
from bench.chaos.run import Run, running
from bench.chaos.witness import moment
from tests.postgres.cluster import Cluster
from tests.postgres.proxy import Proxy

TICKS: Final = os.sysconf("SC_CLK_TCK")
SOON: Final = 30.0
LOOK: Final = 0.05
PROBES: Final = 10


@dataclass(slots=True)
class House:
    """A server, the proxy in front of it, and a run whose processes reach it through that."""

    cluster: Cluster
    proxy: Proxy
    store: PostgresStore
    run: Run
    pids: frozenset[int] = frozenset()
    probes: int = 0
    seconds: list[float] = field(default_factory=list)

    def serve(self, workers: int = 2) -> None:
        """Start the API and its workers, and remember all their processes: none of them may end."""
        server = self.run.serve(workers=workers, concurrency=20)
        until("all processes are there", lambda: len(server.pids()) >= workers + 2)
        self.pids = server.pids()
        self.recovered()

    def recovered(self) -> float:
        """Wait until the API takes a submit and each worker has done one from the beginning; return the seconds."""
        began, since = time.monotonic(), moment()
        while not self._all_work(since):
            if time.monotonic() > began + SOON:
                raise AssertionError(f"not all work again within {SOON:g} s:\n{self.run.server.errors()[-1500:]}")
            self.probes += 1
            with suppress(OSError):
                self.run.client().submit_many("chaos.nap", [5] * PROBES, f"probe-{self.probes}")
            time.sleep(LOOK)
        return time.monotonic() - began

    def _all_work(self, since: int) -> bool:
        server = self.run.server
        begun = {line.pid for line in self.run.witness() if line.event == "start" and line.at >= since}
        ended = {line.pid for line in self.run.witness() if line.event == "end" and line.at >= since}
        return set(server.children("worker")) <= begun & ended

    def back(self) -> float:
        """Wait until the server takes connections, then until all work again; return how long the latter took."""
        until("the server takes connections", self.store.answers)
        self.seconds.append(self.recovered())
        return self.seconds[-1]

    def burned(self, seconds: float) -> dict[int, float]:
        """Return the share of a core that each process uses during the next seconds."""
        before = {pid: _cpu(pid) for pid in self.pids}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        return {pid: (_cpu(pid) - spent) / passed for pid, spent in before.items()}


Strike = Callable[[House, random.Random], None]


def kill_postmaster(house: House, chance: random.Random) -> None:
    """Kill the first process; the others go when they notice."""
    house.cluster.kill_postmaster()
    time.sleep(chance.uniform(0, 1.5))
    house.cluster.start()


def kill_backend(house: House, chance: random.Random) -> None:
    """Kill one process that works for us; the server then ends all sessions and recovers."""
    pids = house.store.backends()
    if pids:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
    time.sleep(LOOK)  # it takes a moment until the server knows


def terminate(house: House, chance: random.Random) -> None:
    """End single sessions in quick succession, wherever they are."""
    for _ in range(20):
        pids = house.store.backends()
        house.store.terminate(chance.sample(pids, min(len(pids), chance.randint(1, 3))))
        time.sleep(chance.uniform(0, 0.1))


def stop_fast(house: House, chance: random.Random) -> None:
    """Stop in order, which ends all sessions, and start again."""
    house.cluster.stop("fast")
    time.sleep(chance.uniform(0, 1.5))
    house.cluster.start()


def stop_immediate(house: House, chance: random.Random) -> None:
    """Stop at once, as a crash that all processes hear of, and start again."""
    house.cluster.stop("immediate")
    time.sleep(chance.uniform(0, 1.5))
    house.cluster.start()


def lose_replies(house: House, chance: random.Random) -> None:
    """Lose the answer to statements that the server has run, commits among them."""
    for text in ("with ended", "new as (", "COMMIT", "with ended", "COMMIT"):
        before = house.proxy.done
        house.proxy.drop_reply_once(text)
        until(f"the answer to {text} was lost", lambda before=before: house.proxy.done > before)
        time.sleep(chance.uniform(0, 0.2))


def blackhole(house: House, chance: random.Random) -> None:
    """Swallow everything for longer than any call waits."""
    house.proxy.blackhole()
    time.sleep(chance.uniform(16, 18))
    house.proxy.through()


def too_few_connections(house: House, chance: random.Random) -> None:  # noqa: ARG001 - a strike among others
    """Start the server again with fewer connections than the processes want, and later with enough."""
    with settings(house.cluster, {"max_connections": "8", "superuser_reserved_connections": "3"}):
        house.cluster.restart("fast")
        time.sleep(6)
    house.cluster.restart("fast")


STRIKES: Final[Mapping[str, Strike]] = MappingProxyType(
    {
        "postmaster": kill_postmaster,
        "backend": kill_backend,
        "terminate": terminate,
        "fast": stop_fast,
        "immediate": stop_immediate,
        "replies": lose_replies,
        "blackhole": blackhole,
        "connections": too_few_connections,
    }
)


@contextmanager
def settings(cluster: Cluster, wanted: Mapping[str, str]) -> Iterator[None]:
    """Have other settings in the server's file, for the starts inside the block."""
    path = cluster.data / "postgresql.conf"
    before = path.read_text("utf-8")
    path.write_text(before + "".join(f"{name} = {value}\n" for name, value in wanted.items()), "utf-8")
    try:
        yield
    finally:
        path.write_text(before, "utf-8")


@contextmanager
def house(cluster: Cluster, directory: Path, say: Callable[[str], None]) -> Iterator[House]:
    """Give a run on a started server, with a proxy between, before anything else has been started."""
    # The processes are no superusers: those have connections of their own, also where there are no others.
    cluster.run("create role worker login")
    cluster.run("create database angelica owner worker")
    url = cluster.url("angelica").replace("postgres@", "worker@")
    store = PostgresStore(url)
    store.url = cluster.url("angelica")
    with Proxy.of(cluster) as proxy, running(directory, say, store=store, url=proxy.in_front_of(url)) as run:
        yield House(cluster, proxy, store, run)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
