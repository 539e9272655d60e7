"""`python -m bench.chaos`: every scenario at full size, with its figures; the exit code says whether all laws held.

python -m bench.chaos [--seed N] [--rounds 100] [--seconds 300] [SCENARIO …]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.chaos import poison, restart, rounds, stopping, syscalls, zombie
from bench.chaos.checker import Fault, Verdict
from bench.chaos.run import Run, running

CHILD_BACK = 2.0
ZOMBIES: dict[str, dict[str, Any]] = {"": {}, "-notes": {"linger": 700}, "-hears": {"deaf": False}}
SHOWN = 10


def main() -> int:
    """Run what was asked for and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="Kill things while tasks run.")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the choices of a run")
    parser.add_argument("--rounds", type=int, default=100, help="random kills [100]")
    parser.add_argument("--seconds", type=float, default=240.0, help="the longest that they may take [240]")
    parser.add_argument("scenario", nargs="*", help=f"one of {', '.join(scenarios(0, 0, 0))}; all without it")
    asked = parser.parse_args()
    known = scenarios(asked.seed, asked.rounds, asked.seconds)
    unknown = [name for name in asked.scenario if name not in known]
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a run that is ended clears its processes away
    print(f"seed {asked.seed}", flush=True)
    verdicts = {name: tell(name, known[name]) for name in asked.scenario or known}
    red = [name for name, ok in verdicts.items() if not ok]
    print(f"{len(verdicts) - len(red)} of {len(verdicts)} held" + (f"; broken: {', '.join(red)}" if red else ""))
    return bool(red)


def scenarios(seed: int, count: int, seconds: float) -> dict[str, Callable[[], Verdict | None]]:
    """Return all scenarios by name."""
    return {
        "restart": partial(_in_run, restart.kill_all),
        "child": _child,
        "stop": partial(_in_run, partial(stopping.stop, grace=2.0)),
        "hasten": partial(_in_run, partial(stopping.stop, grace=60.0, hasten=True)),
        "poison": partial(_in_run, poison.crash_loop),
        **{
            f"zombie-{when}{name}": partial(_in_run, partial(zombie.resume, when=when, **how))
            for name, how in ZOMBIES.items()
            for when in zombie.WHEN
        },
        "syscalls": partial(_syscalls, seed),
        "rounds": partial(_in_run, partial(rounds.rounds, count=count, seconds=seconds, seed=seed)),
    }


def tell(name: str, scenario: Callable[[], Verdict | None]) -> bool:
    """Run one scenario and print what came of it; return whether its laws held (a skipped one breaks none)."""
    print(f"\n{name}", flush=True)
    began = time.monotonic()
    try:
        verdict = scenario()
    except AssertionError as error:
        verdict = Verdict([Fault("in time", "", str(error))])
    if verdict is None:
        return True
    figures = ", ".join(f"{n} {what}" for what, n in verdict.figures.items())
    for fault in verdict.faults[:SHOWN]:
        print(f"  BROKEN {fault}")
    if len(verdict.faults) > SHOWN:
        print(f"  … and {len(verdict.faults) - SHOWN} more")
    print(f"  {'held' if verdict.ok else 'BROKEN'} in {time.monotonic() - began:.1f} s: {figures}", flush=True)
    return verdict.ok


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _in_run(scenario: Callable[[Run], Verdict]) -> Verdict:
    with running(say=_say) as run:
        verdict = scenario(run)
        run.broken = not verdict.ok  # a scenario may excuse what the checker cannot know, and find more
        return verdict


def _child() -> Verdict:
    with running(say=_say) as run:
        verdict, seconds = restart.kill_child(run)
    verdict.figures["ms until they ran again"] = round(seconds * 1000)
    if seconds > CHILD_BACK:
        verdict.faults.append(Fault("recovery", "", f"took {seconds:.2f} s, more than {CHILD_BACK:g} s"))
    return verdict


def _syscalls(seed: int) -> Verdict | None:
    reason = syscalls.missing_strace()
    if reason is not None:
        _say(f"skipped: {reason}")
        return None
    return syscalls.sweep(seed=seed, say=_say)


if __name__ == "__main__":
    sys.exit(main())
