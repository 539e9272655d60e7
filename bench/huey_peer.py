"""Huey on SQLite, the fastest embedded Python queue, on the same machine in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure, Report

GROUP = "peer"

CONSUMER = """
import sys, time
from huey import SqliteHuey
huey = SqliteHuey(filename=sys.argv[1], fsync=True)
@huey.task()
def noop(number):
    return number
if sys.argv[2] == "submit":
    count = int(sys.argv[3])
    began = time.perf_counter()
    for number in range(count):
        noop(number)
    print(count / (time.perf_counter() - began))
else:
    consumer = huey.create_consumer(workers=int(sys.argv[3]), periodic=False, initial_delay=0.001, max_delay=0.01)
    left = huey.pending_count()
    began = time.perf_counter()
    consumer.start()
    while huey.pending_count() or huey.result_count() < left:
        time.sleep(0.01)
    print(left / (time.perf_counter() - began), flush=True)
    consumer.stop()
"""


def measure(report: Report, directory: Path, tasks: int = 5_000) -> None:
    """Submit and drain `tasks` no-ops, each commit on disk."""
    script = directory / "huey_peer.py"
    script.write_text(CONSUMER, "utf-8")
    file = str(directory / "huey.db")
    submit = _run(script, file, "submit", str(tasks))
    report.add(Figure(GROUP, "Huey on SQLite (fsync), submit, one caller", submit, "tasks/s"))
    drain = _run(script, file, "drain", "2")
    report.add(Figure(GROUP, "Huey on SQLite (fsync), drain, 2 workers", drain, "tasks/s"))
    for ours, theirs, name in (
        ("submit, 500 concurrent callers", submit, "submit, Angelica to Huey"),
        ("drain, sync no-op, 1 worker process(es)", drain, "drain, Angelica to Huey"),
    ):
        value = report.value(ours)
        if value is not None:
            report.add(Figure(GROUP, name, value / theirs, "times"))


def _run(script: Path, *args: str) -> float:
    began = time.monotonic()
    output = subprocess.check_output([sys.executable, str(script), *args], timeout=300, text=True)
    del began
    return float(output.split()[-1])
