"""At rest: the memory and the CPU of a whole `angelica dev`, and the cost of imports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure, Report
from bench.http import served

GROUP = "at rest"
TICKS = os.sysconf("SC_CLK_TCK")


def measure(report: Report, directory: Path, seconds: float = 10.0) -> None:
    """Measure the process tree of a server that has nothing to do, then imports."""
    with served(directory / "idle") as (_, process):
        time.sleep(4)
        began = time.monotonic()
        before = sum(_cpu(pid) for pid in _tree(process.pid))
        time.sleep(seconds)
        spent = sum(_cpu(pid) for pid in _tree(process.pid)) - before
        share = spent / (time.monotonic() - began) * 100
        memory = sum(_private(pid) for pid in _tree(process.pid)) / 2**20
        resident = sum(_resident(pid) for pid in _tree(process.pid)) / 2**20
        processes = len(_tree(process.pid))
    note = f"{processes} processes"
    report.add(
        Figure(GROUP, "idle server, memory (proportional set size)", memory, "MiB", 120, at_least=False, note=note)
    )
    report.add(Figure(GROUP, "idle server, memory (resident, shared pages counted twice)", resident, "MiB"))
    report.add(Figure(GROUP, "idle server, CPU", share, "% of one", 1, at_least=False))
    bare = _import("pass")
    light = _import("import angelica")
    report.add(Figure(GROUP, "import angelica, above a bare interpreter", (light - bare) * 1e3, "ms"))
    engine = _import("import angelica.engine")
    report.add(Figure(GROUP, "import angelica.Engine, above a bare interpreter", (engine - bare) * 1e3, "ms"))


def _tree(root: int) -> list[int]:
    found = [root]
    for pid in found:
        tasks = Path(f"/proc/{pid}/task")
        for task in tasks.iterdir() if tasks.exists() else ():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


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
