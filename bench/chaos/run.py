"""One run: a directory with a store, a ledger, the kills so far, and the record that is judged at its end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.chaos.checker import Record, Verdict, check
from bench.chaos.fleet import Group, Kill, Place, Server, Worker, until
from bench.chaos.ledger import Client, Ledger
from bench.chaos.store import Change, Row, Store
from bench.chaos.witness import Line, read_witness


class Watched(Protocol):
    """A store under attack, whatever it is in: what the checker wants to know of it."""

    def states(self) -> dict[str, int]:
        """Return how many tasks stand in each state."""
        ...

    def unfinished(self) -> int:
        """Return how many tasks have not ended."""
        ...

    def scalar(self, query: str, *values: object) -> Any:
        """Return the first column of the first row, None without one."""
        ...

    def changes(self) -> list[Change]:
        """Return the history of all tasks, in the order of the commits."""
        ...

    def rows(self) -> dict[str, Row]:
        """Return all tasks as they stand."""
        ...

    def outcomes(self) -> dict[tuple[str, int], str]:
        """Return how each attempt ended that did not succeed."""
        ...

    def leases(self) -> int:
        """Return how many tasks somebody holds."""
        ...

    def check(self) -> tuple[str, ...]:
        """Return what the engine's own check finds wrong."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


@dataclass(slots=True)
class Run:
    """A run with everything that is to be cleared away after it. `say` takes words about its progress."""

    place: Place
    store: Watched
    say: Callable[[str], None]
    ledger: Ledger = field(default_factory=Ledger)
    kills: list[Kill] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    broken: bool = False
    _server: Server | None = None

    def serve(self, **how: object) -> Server:
        """Start `angelica serve` (again) and wait until it is ready."""
        self._server = server = Server(self.place, **how)  # type: ignore[arg-type]
        self.groups.append(server)
        until("angelica serve is ready", server.ready)
        return server

    def worker(self, name: str, **how: object) -> Worker:
        """Start one worker without a supervisor and wait until it has registered."""
        worker = Worker(self.place, name, **how)  # type: ignore[arg-type]
        self.groups.append(worker)
        until(f"worker {name} is ready", worker.ready)
        return worker

    def client(self) -> Client:
        """Return a client of the server as it is at each request."""
        return Client(lambda: self.server.url, self.ledger)

    @property
    def server(self) -> Server:
        """The server that was started last."""
        assert self._server is not None
        return self._server

    def kill(self, group: Group, target: str = "group", pids: frozenset[int] | None = None) -> Kill:
        """Kill and remember it."""
        made = group.kill(target, pids)
        self.kills.append(made)
        return made

    def witness(self) -> list[Line]:
        """Return what has been seen so far."""
        return read_witness(self.place.witness)

    def seen(self, event: str) -> int:
        """Return how many lines of the witness begin with these words so far."""
        path = self.place.witness
        return sum(line.startswith(event) for line in path.read_text("ascii").splitlines()) if path.exists() else 0

    def until_rest(self, seconds: float = 60.0) -> None:
        """Wait until every task in the store has ended."""
        until("all tasks have ended", lambda: not self.store.unfinished(), seconds)

    def verdict(self) -> Verdict:
        """Judge the run."""
        store = self.store
        record = Record(
            self.ledger,
            self.witness(),
            store.changes(),
            store.rows(),
            store.outcomes(),
            self.kills,
            store.leases(),
            store.check(),
        )
        verdict = check(record)
        self.broken = not verdict.ok
        return verdict


@contextmanager
def running(
    directory: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    *,
    store: Watched | None = None,
    url: str | None = None,
) -> Iterator[Run]:
    """Give a run in a fresh directory, and leave no process behind. Without a `store` it is on SQLite.

    The directory is kept if it is given, if a law was broken and if the run raises.
    """
    made = Path(tempfile.mkdtemp(prefix="angelica-chaos-")) if directory is None else directory
    place = Place(made, url)
    run = Run(place, Store(place.store) if store is None else store, say)
    try:
        yield run
    except BaseException:
        say(f"what was left is in {made}")
        raise
    finally:
        for group in run.groups:
            group.end()
        run.store.close()
    if run.broken:
        say(f"what was left is in {made}")
    elif directory is None:
        shutil.rmtree(made)


def short_leases(ttl: float = 1.0) -> Mapping[str, str]:
    """Return settings for a lease of `ttl` seconds, which nobody would use in earnest."""
    return {"ANGELICA_LEASE_TTL": f"{ttl}", "ANGELICA_HEARTBEAT": "0.2", "ANGELICA_LEASE_MARGIN": "0.3"}
