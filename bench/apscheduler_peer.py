"""APScheduler, the scheduler that Python programs embed, in the same run: in SQLite and in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure, Report

GROUP = "peer"
JOBS = 10_000
FIRING = 500
SECONDS = 10

SCRIPT = """
import json, sys, time
from datetime import datetime, timedelta, timezone
from apscheduler.events import EVENT_JOB_SUBMITTED
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

def noop(number):
    return number

kind, file, jobs, firing, seconds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
store = MemoryJobStore() if kind == "memory" else SQLAlchemyJobStore(url="sqlite:///" + file)
options = {"misfire_grace_time": None, "coalesce": False, "max_instances": 1000}
scheduler = BackgroundScheduler(jobstores={"default": store}, job_defaults=options, timezone=timezone.utc)
scheduler.start(paused=True)
now = datetime.now(timezone.utc)
began = time.perf_counter()
for number in range(jobs - firing):
    scheduler.add_job("__main__:noop", "cron", args=[number], hour=(now.hour + 2) % 24, minute=number % 60)
created = (jobs - firing) / (time.perf_counter() - began)
begin = datetime.now(timezone.utc) + timedelta(seconds=4)
for number in range(firing):
    first = begin + timedelta(seconds=number / firing)
    scheduler.add_job("__main__:noop", "interval", args=[number], seconds=1, start_date=first)
late = []
def submitted(event):
    moment = time.time()
    late.extend((moment - due.timestamp()) * 1e3 for due in event.scheduled_run_times)
scheduler.add_listener(submitted, EVENT_JOB_SUBMITTED)
scheduler.resume()
time.sleep(max(begin.timestamp() - time.time(), 0) + seconds)
late.sort()
fires = len(late)
p99 = late[int(fires * 0.99)] if late else -1.0
print(json.dumps({"created": created, "fires": fires / seconds, "p99": p99}), flush=True)
import os
os._exit(0)
"""


def measure(report: Report, directory: Path, ours: float | None) -> None:
    """Create jobs one by one (it has no other way), then let some of them fire each second."""
    script = directory / "apscheduler_peer.py"
    script.write_text(SCRIPT, "utf-8")
    for kind, words in (("sqlite", "in SQLite"), ("memory", "in memory")):
        argv = [sys.executable, str(script), kind, str(directory / "apscheduler.db")]
        argv += [str(JOBS), str(FIRING), str(SECONDS)]
        found = json.loads(subprocess.check_output(argv, timeout=300, text=True).splitlines()[-1])
        name = f"APScheduler {words}, {JOBS:,} jobs"
        report.add(Figure(GROUP, f"{name}, create", found["created"], "/s"))
        report.add(Figure(GROUP, f"{name}, fired of {FIRING}/s", found["fires"], "/s"))
        report.add(Figure(GROUP, f"{name}, submitted - due, p99", found["p99"], "ms"))
        if ours is not None and found["p99"] > 0:
            report.add(Figure(GROUP, f"lateness p99, APScheduler {words} to Angelica", found["p99"] / ours, "times"))
