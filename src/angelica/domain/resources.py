"""Resources: what a task says that it needs of a machine, and whether a worker has it to give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Resources = Mapping[str, float]
"""`cpu` in CPUs, `memory` in bytes; what is not in it costs nothing."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker gives to tasks that say what they need; 0 is a worker that does not look at it."""

    cpu: float = 0.0
    memory: int = 0

    def fits(self, resources: Resources) -> bool:
        """Whether a task fits while nothing else runs."""
        return self.fits_beside((), resources)

    def fits_beside(self, running: Iterable[Resources], resources: Resources) -> bool:
        """Whether a task fits beside those that run."""
        rest = [*running, resources]
        bounds = (("cpu", self.cpu), ("memory", self.memory))
        # Sums of fractions of CPUs may be a hair above the whole that they make.
        return all(not bound or sum(each.get(name, 0) for each in rest) <= bound * (1 + 1e-9) for name, bound in bounds)


def shown(resources: Resources) -> str:
    """Return what a task needs in words: `2 CPUs and 4,000,000,000 bytes of memory`."""
    parts = []
    if "cpu" in resources:
        parts.append(f"{resources['cpu']:g} CPU{'' if resources['cpu'] == 1 else 's'}")
    if "memory" in resources:
        parts.append(f"{int(resources['memory']):,} bytes of memory")
    return " and ".join(parts)
