"""Everything is killed in the middle of the work and started again: nothing is lost, and little is done twice."""

from __future__ import annotations

import signal
import time

from bench.chaos.checker import Verdict
from bench.chaos.fleet import until
from bench.chaos.run import Run


def kill_all(run: Run, *, tasks: int = 2_000, milliseconds: int = 50, concurrency: int = 50) -> Verdict:
    """`kill -9` of the whole group while half of the tasks are done, then a start as after any crash."""
    server = run.serve(concurrency=concurrency)
    client = run.client()
    size = 500
    for first in range(0, tasks, size):
        count = min(size, tasks - first)
        client.submit_many("chaos.nap", [milliseconds] * count, f"nap-{first}")
    until("half of the tasks are done", lambda: run.seen("end") > tasks // 2)
    run.kill(server)
    run.say(f"killed all after {run.seen('end')} of {tasks} tasks")
    run.serve(concurrency=concurrency)
    run.until_rest()
    run.server.signal(signal.SIGTERM)
    run.server.process.wait(30)
    return run.verdict()


def kill_child(run: Run, *, tasks: int = 40) -> tuple[Verdict, float]:
    """A worker child is killed in the middle of its tasks; also return the seconds until one of them runs again."""
    server = run.serve(concurrency=tasks)
    run.client().submit_many("chaos.nap", [600] * tasks, "nap")
    until("all tasks have begun", lambda: run.seen("start") == tasks)
    victim = server.children("worker")[0]
    before = time.monotonic()
    kill = run.kill(server, "worker", frozenset({victim}))
    again = until("a task runs again", lambda: [line for line in run.witness() if line.attempt == 2][:1], 20)  # noqa: PLR2004
    run.say(f"the worker was killed; its tasks ran again {time.monotonic() - before:.2f} s later")
    run.until_rest()
    return run.verdict(), (again[0].at - kill.at) / 1e6
