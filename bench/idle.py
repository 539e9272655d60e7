"""At rest: the memory and the CPU of a whole `angelica serve` and `angelica dev`, and the cost of imports."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure, Report
from bench.http import served

GROUP = "at rest"


def measure(report: Report, directory: Path, seconds: float = 20.0) -> None:
    """Measure the process tree of a server that has nothing to do, one that watches files for changes too; imports."""
    _at_rest(report, directory / "idle", seconds, mode="serve", goal=True)
    _at_rest(report, directory / "idle-dev", seconds, mode="dev", goal=False)
    bare = _import("pass")
    light = _import("import angelica")
    report.add(Figure(GROUP, "import angelica, above a bare interpreter", (light - bare) * 1e3, "ms"))
    engine = _import("import angelica.engine")
    report.add(Figure(GROUP, "import angelica.Engine, above a bare interpreter", (engine - bare) * 1e3, "ms"))


def _at_rest(report: Report, directory: Path, seconds: float, *, mode: str, goal: bool) -> None:
    with served(directory, mode=mode) as (_, process):
        time.sleep(4)
        began = time.monotonic()
        before = sum(_cpu(pid) for pid in _tree(process.pid))
        time.sleep(seconds)
        spent = sum(_cpu(pid) for pid in _tree(process.pid)) - before
        share = spent / (time.monotonic() - began) * 100
        memory = sum(_private(pid) for pid in _tree(process.pid)) / 2**20
        resident = sum(_resident(pid) for pid in _tree(process.pid)) / 2**20
        processes = len(_tree(process.pid))
    what, most, least = f"idle `angelica {mode}`, {processes} processes", 120 if goal else None, 1 if goal else None
    report.add(Figure(GROUP, f"{what}, memory (proportional set size)", memory, "MiB", most, at_least=False))
    report.add(Figure(GROUP, f"{what}, memory (resident, shared pages counted twice)", resident, "MiB"))
    report.add(Figure(GROUP, f"{what}, CPU", share, "% of one", least, at_least=False))


def _tree(root: int) -> list[int]:
    found = [root]
    for pid in found:
        tasks = Path(f"/proc/{pid}/task")
        for task in tasks.iterdir() if tasks.exists() else ():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _cpu(pid: int) -> float:
    # By the scheduler's own clock: the ticks of /proc/PID/stat are 10 ms, and each wake-up here takes a twentieth.
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def _private(pid: int) -> int:
    return _kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")


def _resident(pid: int) -> int:
    return _kib(Path(f"/proc/{pid}/status").read_text(), "VmRSS:")


def _kib(text: str, key: str) -> int:
    line = next(line for line in text.splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def _import(code: str) -> float:
    """Return the CPU seconds of an interpreter that runs `code`, the best of five."""
    told = "import resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
    return min(float(subprocess.check_output([sys.executable, "-c", f"{code}\n{told}"])) for _ in range(5))
