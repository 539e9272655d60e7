"""SIGTERM under load: nobody pays for it, nothing stays held, and it ends in time."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from bench.chaos.checker import Fault, Verdict
from bench.chaos.fleet import until
from bench.chaos.run import Run

MARGIN = 5.0
LONG = 600_000


def stop(run: Run, *, grace: float = 1.0, hasten: bool = False, tasks: int = 300) -> Verdict:
    """Stop while short tasks flow and long ones run; then start again and let all of it end.

    The long ones forgive no crash, so each that paid for the stop would end `failed`. With `hasten` a second signal
    follows, and the grace time must not be waited for.
    """
    env = {"ANGELICA_GRACE": str(grace)}
    server = run.serve(workers=2, concurrency=20, env=env)
    client = run.client()
    client.submit_many("chaos.stuck", [LONG] * 6, "long")
    client.submit_many("chaos.stuck_block", [LONG] * 4, "block")
    until("the long tasks run", lambda: run.seen("start") == 10)  # noqa: PLR2004 - those above
    client.submit_many("chaos.nap", [50] * tasks, "nap")
    until("short tasks flow", lambda: run.seen("end") > tasks // 4)
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    if hasten:
        until("the stop has begun", lambda: "stopping" in server.errors())
        server.signal(signal.SIGTERM)
    code = server.process.wait(grace + 2 * MARGIN)
    took = time.monotonic() - began
    run.say(f"stopped in {took:.2f} s (grace {grace:g} s{', hastened' * hasten})")
    faults = list(_at_rest(run, code, took, MARGIN if hasten else grace + MARGIN))
    run.serve(workers=2, concurrency=20)
    run.until_rest()
    verdict = run.verdict()
    verdict.faults[:0] = faults
    verdict.figures["stopped in ms"] = round(took * 1000)
    if not verdict.figures["handed_back"]:
        verdict.faults.append(Fault("stop", "", "nothing was handed back, so the stop met no running task"))
    return verdict


def _at_rest(run: Run, code: int, took: float, bound: float) -> Iterator[Fault]:
    store = run.store
    if code != 0:
        yield Fault("stop", "", f"exit code {code}: {run.server.errors()[-500:]}")
    if took > bound:
        yield Fault("stop", "", f"took {took:.1f} s, more than {bound:g} s")
    if run.server.pids():
        yield Fault("stop", "", "left processes behind")
    if store.leases():
        yield Fault("stop", "", f"{store.leases()} tasks are still held")
    if store.scalar("select count(*) from workers"):
        yield Fault("stop", "", "a worker did not sign off")
    paid = store.scalar("select count(*) from tasks where failures + crashes > 0")
    if paid:
        yield Fault("stop", "", f"{paid} tasks paid for it")
    files = list(run.place.store.with_name("chaos.db-run").glob("*.started"))
    if files:
        yield Fault("stop", "", f"{len(files)} start files were left")
