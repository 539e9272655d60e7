"""`python -m bench.chaos.postgres`: a PostgreSQL server dies in all its ways while tasks run, and none is lost.

python -m bench.chaos.postgres [--seed N] [--share 1.0] [SCENARIO …]    (--share 0.2: a fifth of the strikes)
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.chaos import churn
from bench.chaos.__main__ import tell
from bench.chaos.checker import Fault, Verdict
from bench.chaos.outages import STRIKES, House, house
from bench.chaos.pinned import loaded, snapshot
from bench.chaos.rounds import Feeder
from bench.server import server

COUNTS: Final = {
    "postmaster": 10,
    "backend": 50,
    "terminate": 10,
    "fast": 5,
    "immediate": 5,
    "replies": 10,
    "blackhole": 2,
    "connections": 2,
}
BACK: Final = 10.0
"""Seconds after the server takes connections within which all processes work again."""
BURN: Final = 0.05
"""The share of a core that a process may use while there is no server."""
DOWN: Final = 12.0
PINNED: Final = 60.0
SLOWER: Final = 3.0
"""How many times as long the slowest claims may take while somebody holds an old snapshot."""
CHURN: Final = 150.0
GROWN: Final = 1.5
"""How much larger the tables may be after the second minute than after the first: vacuum comes once a minute."""


def main() -> int:
    """Run what was asked for and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos.postgres", description="Take PostgreSQL away.")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the choices of a run")
    parser.add_argument("--share", type=float, default=1.0, help="of the strikes of each scenario [1.0]")
    parser.add_argument("scenario", nargs="*", help=f"one of {', '.join(scenarios(0, 1))}; all without it")
    asked = parser.parse_args()
    known = scenarios(asked.seed, asked.share)
    unknown = [name for name in asked.scenario if name not in known]
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a run that is ended clears its processes away
    print(f"seed {asked.seed}", flush=True)
    red = [name for name in asked.scenario or known if not tell(name, known[name])]
    print(f"all held, but for {', '.join(red)}" if red else "all held")
    return bool(red)


def scenarios(seed: int, share: float) -> dict[str, Callable[[], Verdict | None]]:
    """Return all scenarios by name."""
    known: dict[str, Callable[[], Verdict | None]] = {
        name: partial(_in_house, partial(strikes, names=[name] * max(round(count * share), 1), seed=seed))
        for name, count in COUNTS.items()
    }
    known["clashes"] = partial(_in_house, partial(clashes, seconds=30 * share, seed=seed))
    known["down"] = partial(_in_house, down)
    known["pinned"] = partial(_on_server, pinned)
    known["churn"] = partial(_on_server, churned)
    return known


def strikes(house: House, *, names: Sequence[str], seed: int) -> Verdict:
    """Strike under load, one after the other; each time all must work again in time. Then come to rest and judge."""
    chance = random.Random(seed)
    house.serve()
    with fed(house, seed):
        for name in names:
            time.sleep(chance.uniform(0.1, 1.0))
            STRIKES[name](house, chance)
            house.back()
    return judged(house, strikes=len(names))


def clashes(house: House, *, seconds: float, seed: int) -> Verdict:
    """Let one statement in ten fail as one does that met another transaction."""
    house.serve()
    house.store.clash(0.1)
    with fed(house, seed):
        time.sleep(seconds)
    house.store.clash(0)
    house.back()
    return judged(house, strikes=1)


def down(house: House) -> Verdict:
    """Have no server for a while, and nobody who asks: the processes must rest, and be there again after it."""
    house.serve()
    house.cluster.stop("fast")
    time.sleep(2)
    burned = house.burned(DOWN)
    house.cluster.start()
    house.back()
    verdict = judged(house, strikes=1)
    verdict.figures["per mille of a core at the most"] = round(max(burned.values()) * 1000)
    verdict.faults += [
        Fault("rest", "", f"process {pid} used {share:.1%} of a core without a server")
        for pid, share in burned.items()
        if share > BURN
    ]
    return verdict


def pinned(url: str) -> Verdict:
    """Hold a snapshot for a minute under load, then compare the claims with those of half a minute before."""
    free = asyncio.run(loaded(url, PINNED / 2, "free"))
    with snapshot(url):
        held = asyncio.run(loaded(url, PINNED, "held"))
    slower = held.p99(PINNED / 2) / free.p99()
    figures = {
        "claims before": len(free.claims),
        "µs p99 before": round(free.p99() * 1e6),
        "claims under the snapshot": len(held.claims),
        "µs p99 in its second half": round(held.p99(PINNED / 2) * 1e6),
    }
    faults = [Fault("pinned", "", f"claims take {slower:.1f} times as long")] if slower > SLOWER else []
    return Verdict(faults, figures)


def churned(url: str) -> Verdict:
    """Let tasks pass through until vacuum has come twice."""
    done, sizes = churn.run(url, CHURN)
    first = max(size for at, size in sizes if at < CHURN / 2)
    last = max(size for _, size in sizes)
    figures = {"tasks": done, "KiB after the first half": first // 1024, "KiB at the most": last // 1024}
    return Verdict([Fault("churn", "", f"grew to {last:,} bytes")] if last > GROWN * first else [], figures)


@contextmanager
def fed(house: House, seed: int) -> Iterator[None]:
    """Submit all the time, until the block ends."""
    feeder = Feeder(house.run, seed)
    feeder.start()
    try:
        yield
    finally:
        feeder.stopped.set()
        feeder.join(30)
    if feeder.failure is not None:
        raise feeder.failure


def judged(house: House, *, strikes: int) -> Verdict:
    """Come to rest, judge the record, and add what concerns the processes."""
    run = house.run
    run.until_rest()
    alive = run.server.pids()
    run.server.signal(signal.SIGTERM)
    code = run.server.process.wait(40)
    verdict = run.verdict()
    verdict.figures["strikes"] = strikes
    verdict.figures["ms until all worked again, at the most"] = round(max(house.seconds) * 1000)
    if house.pids - alive:
        verdict.faults.append(
            Fault("processes", "", f"{len(house.pids - alive)} ended:\n{run.server.errors()[-2000:]}")
        )
    if code != 0:
        verdict.faults.append(Fault("stop", "", f"exit code {code} at the end"))
    verdict.faults += [
        Fault("back", "", f"all worked again after {seconds:.1f} s") for seconds in house.seconds if seconds > BACK
    ]
    run.broken = not verdict.ok
    return verdict


def _in_house(scenario: Callable[[House], Verdict]) -> Verdict:
    def say(text: str) -> None:
        print(f"  {text}", flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="angelica-chaos-") as made,
        server(Path(made)) as cluster,
        house(cluster, Path(made), say) as built,
    ):
        verdict = scenario(built)
        if not verdict.ok or verdict.figures["handed_back"]:
            say(f"what the processes said last:\n{built.run.server.errors()[-9000:]}")
        return verdict


def _on_server(scenario: Callable[[str], Verdict]) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="angelica-chaos-") as made, server(Path(made)) as cluster:
        return scenario(cluster.url())


if __name__ == "__main__":
    sys.exit(main())
