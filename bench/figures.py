"""What a benchmark run yields: figures with their goals, as a table and as JSON, and the machine's size."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import apsw

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number; `goal` is a bound in the same unit, `at_least` says which side of it is good."""

    group: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        reached = self.value >= self.goal if self.at_least else self.value <= self.goal
        return "reached" if reached else "missed"


@dataclass
class Report:
    """All figures of one run."""

    machine: dict[str, object] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    @classmethod
    def begin(cls) -> Report:
        """Return an empty report of this machine."""
        return cls(size_of_machine())

    def add(self, figure: Figure) -> None:
        """Keep a figure and print it at once."""
        self.figures.append(figure)
        goal = "" if figure.goal is None else f"{'≥' if figure.at_least else '≤'} {figure.goal:,g}"
        value = _number(figure.value)
        print(
            f"  {figure.name:58s} {value:>12s} {figure.unit:9s} {goal:>12s} {figure.verdict:8s} {figure.note}",
            flush=True,
        )

    def value(self, name: str) -> float | None:
        """Return the figure of that name."""
        return next((figure.value for figure in self.figures if figure.name == name), None)

    def write(self) -> Path:
        """Write the run as JSON and return where it is."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
        figures = [{**asdict(figure), "verdict": figure.verdict} for figure in self.figures]
        path.write_text(json.dumps({"machine": self.machine, "figures": figures}, indent=1), "utf-8")
        return path


def size_of_machine() -> dict[str, object]:
    """Return the machine's size: figures mean little without it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "processor": _processor(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "sqlite": apsw.sqlite_lib_version(),
        "load_before": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
