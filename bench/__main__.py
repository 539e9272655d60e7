"""Measure everything: `python -m bench [group …]`; figures, goals and ratios, and a JSON file in bench/results/."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from bench import delayed, floor, http, huey_peer, idle, latency, memory, postgres, process, schedules, sqlite
from bench.figures import Report

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "groups",
        nargs="*",
        help="memory sqlite postgres process floor latency http idle delayed huey schedules (default: all)",
    )
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks in throughput figures (default 100,000)")
    parser.add_argument("--directory", type=Path, help="where the stores are made (default: a temporary directory)")
    options = parser.parse_args()
    # Children import the package as this process does, also from a checkout that is not installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    report = Report.begin()
    print(", ".join(f"{key} {value}" for key, value in report.machine.items()))
    directory = Path(tempfile.mkdtemp(prefix="angelica-bench-", dir=options.directory))
    groups = {
        "memory": lambda: asyncio.run(memory.measure(report, directory, options.tasks)),
        "sqlite": lambda: asyncio.run(sqlite.measure(report, directory, options.tasks)),
        "postgres": lambda: asyncio.run(postgres.measure(report, directory, options.tasks)),
        "process": lambda: asyncio.run(process.measure(report, directory, options.tasks // 4)),
        "floor": lambda: floor.measure(report, directory, options.tasks),
        "latency": lambda: asyncio.run(latency.measure(report, directory)),
        "http": lambda: asyncio.run(http.measure(report, directory)),
        "idle": lambda: idle.measure(report, directory),
        "delayed": lambda: asyncio.run(delayed.measure(report, directory)),
        "huey": lambda: huey_peer.measure(report, directory),
        "schedules": lambda: asyncio.run(schedules.measure(report, directory, options.tasks * 10)),
    }
    unknown = set(options.groups) - set(groups)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(groups)}")
    try:
        for name in options.groups or groups:
            print(name)
            groups[name]()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"written to {report.write().relative_to(ROOT)}")


if __name__ == "__main__":
    main()
