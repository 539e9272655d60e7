"""Many rounds of random kills while work goes on: a worker, the API, the supervisor, all at once, or a submitter."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Final

from bench.chaos.checker import Fault, Verdict
from bench.chaos.fleet import Kill
from bench.chaos.run import Run
from bench.chaos.witness import moment

TARGETS: Final = {"worker": 40, "api": 20, "supervisor": 15, "group": 20, "submitter": 5}
FUNCTIONS: Final = {"chaos.nap": 60, "chaos.block": 20, "chaos.flaky": 10, "chaos.once": 10}
LONGEST: Final = 1.5
"""Seconds of a round before its kill, at most."""
BACKLOG: Final = 300
MANY: Final = 20
PACE: Final = 0.2
"""Seconds between submits, at most."""


class Feeder(threading.Thread):
    """Submits all the time over HTTP: one by one and in batches, most of them repeated until the answer is definite."""

    def __init__(self, run: Run, seed: int) -> None:
        super().__init__(name="feeder", daemon=True)
        self.stopped = threading.Event()
        self.failure: Exception | None = None
        self._run = run
        self._client = run.client()
        self._chance = random.Random(seed)

    def run(self) -> None:
        """Feed until stopped; what goes wrong is kept for the one who joins."""
        try:
            number = 0
            while not self.stopped.is_set():
                number += 1
                self._submit(number)
                time.sleep(self._chance.uniform(0, PACE))
                while self._run.seen("start") < self._client.ledger.asked - BACKLOG and not self.stopped.is_set():
                    time.sleep(0.05)
        except Exception as error:  # noqa: BLE001 - a thread's exception would be lost
            self.failure = error

    def _submit(self, number: int) -> None:
        chance = self._chance
        (function,) = chance.choices(list(FUNCTIONS), list(FUNCTIONS.values()))
        if chance.random() < 0.3:  # noqa: PLR2004 - the mix of the run
            lengths = [chance.randint(1, 80) for _ in range(MANY)]
            self._client.submit_many(function, lengths, f"batch-{number}")
        else:
            self._client.submit(function, chance.randint(1, 80), f"one-{number}", again=chance.random() < 0.8)  # noqa: PLR2004 - as above


def rounds(run: Run, *, count: int = 100, seconds: float = 300.0, seed: int = 1) -> Verdict:
    """Kill `count` times, at most for `seconds`; then come to rest and judge."""
    chance = random.Random(seed)
    began = time.monotonic()
    run.serve(workers=2, concurrency=20)
    feeder = Feeder(run, seed)
    feeder.start()
    done: Counter[str] = Counter()
    try:
        for number in range(1, count + 1):
            if time.monotonic() - began > seconds:
                run.say(f"{seconds:g} s are over after {number - 1} rounds")
                break
            time.sleep(chance.uniform(0, LONGEST))
            (target,) = chance.choices(list(TARGETS), list(TARGETS.values()))
            done[target] += _strike(run, target, number, chance)
            if number % 10 == 0 or number == count:
                passed = time.monotonic() - began
                run.say(f"round {number}/{count}, {passed:.0f} s: {run.ledger.asked} submitted, {run.store.states()}")
    finally:
        feeder.stopped.set()
        feeder.join(30)
    if feeder.failure is not None:
        raise feeder.failure
    run.until_rest()
    run.server.signal(signal.SIGTERM)
    code = run.server.process.wait(40)
    verdict = run.verdict()
    verdict.figures.update({f"kills of {target}": n for target, n in sorted(done.items())})
    if code != 0:
        verdict.faults.append(Fault("stop", "", f"exit code {code} at the end"))
    verdict.faults += [Fault("refused", task_id, "was refused") for task_id in run.ledger.refused]
    return verdict


def _strike(run: Run, target: str, number: int, chance: random.Random) -> int:
    """Kill one target and start again what nobody else starts; return how many kills that were."""
    server = run.server
    if target in ("worker", "api"):
        victims = server.children(target)
        if not victims:  # not back since the last round
            return 0
        run.kill(server, target, frozenset({chance.choice(victims)}))
    elif target == "submitter":
        _kill_submitter(run, number, chance)
    else:
        run.kill(server, target, frozenset({server.pid}) if target == "supervisor" else None)
        run.serve(workers=2, concurrency=20)
    return 1


def _kill_submitter(run: Run, number: int, chance: random.Random) -> None:
    """A process that submits from Python is killed after some acknowledgements; what it said counts, the rest may."""
    prefix, most = f"direct-{number}", 200
    argv = [sys.executable, "-m", "bench.chaos.submitter", "bench.chaos.app", prefix, str(most), "chaos.nap", "5"]
    env = run.place.environment({"ANGELICA_URL": str(run.place.store)})
    ids = {f"{prefix}-{n}": "chaos.nap" for n in range(most)}
    enough = chance.randint(1, most // 2)
    with subprocess.Popen(argv, env=env, cwd=run.place.directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [line.split()[1] for _, line in zip(range(enough), process.stdout, strict=False)]
        process.kill()
        run.kills.append(Kill(moment(), "submitter", frozenset({process.pid})))
        said += [line.split()[1] for line in process.stdout if line.endswith("\n")]
    run.ledger.asked += len(said)
    run.ledger.acknowledged.update({task_id: ids[task_id] for task_id in said})
    run.ledger.unknown.update({task_id: name for task_id, name in ids.items() if task_id not in said})
