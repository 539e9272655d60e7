"""Resources: what a task says that it needs of a machine, and whether a worker has it to give.

Everything that compares needs counts them in whole numbers (`Amount`), in steps that make few different ones of many:
what each task needs is part of its lane, and a claim looks at every lane (`domain.lanes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

Resources = Mapping[str, float]
"""`cpu` in CPUs, `memory` in bytes; what is not in it costs nothing."""

MANY: Final = 1 << 40
_PARTS: Final = 1000
_ROUND: Final = 3
_BITS: Final = 6


class Amount(NamedTuple):
    """What tasks take: thousandths of CPUs, and bytes of memory."""

    cpu: int = 0
    memory: int = 0

    def plus(self, other: Amount, times: int = 1) -> Amount:
        """Return the sum of both."""
        return Amount(self.cpu + times * other.cpu, self.memory + times * other.memory)


NOTHING_TAKEN: Final = Amount()


def amount_of(resources: Resources) -> Amount:
    """Return what a task counts as.

    Figures of up to three digits count as they are. Others, which a program has computed, are cut to six bits: a
    thirty-second part less at most, so that what fits never counts as if it did not, and at most 32 different ones
    stand between a figure and its double.
    """
    # Of a part like 0.57 the product may be a hair below the whole number.
    return Amount(
        _step(max(int(resources["cpu"] * _PARTS + 1e-6), 1)) if resources.get("cpu") else 0,
        _step(max(int(resources["memory"]), 1)) if resources.get("memory") else 0,
    )


def _step(value: int) -> int:
    if len(str(value).rstrip("0")) <= _ROUND:
        return value
    shift = max(value.bit_length() - _BITS, 0)
    return value >> shift << shift


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker gives to tasks that say what they need; 0 is a worker that does not look at it."""

    cpu: float = 0.0
    memory: int = 0

    def times(self, each: Amount, beside: Amount = NOTHING_TAKEN) -> int:
        """Return how many tasks of an amount fit beside what is taken."""
        bounds = (round(self.cpu * _PARTS), self.memory)
        left = [
            (bound - taken) // need for need, bound, taken in zip(each, bounds, beside, strict=True) if need and bound
        ]
        return max(min(left, default=MANY), 0)

    def fits(self, resources: Resources) -> bool:
        """Whether a task fits while nothing else runs."""
        return self.times(amount_of(resources)) > 0

    def fits_beside(self, running: Iterable[Resources], resources: Resources) -> bool:
        """Whether a task fits beside those that run."""
        return self.times(amount_of(resources), taken_by(running)) > 0


UNBOUNDED: Final = Capacity()


def taken_by(running: Iterable[Resources]) -> Amount:
    """Return what tasks take together."""
    taken = NOTHING_TAKEN
    for each in running:
        taken = taken.plus(amount_of(each))
    return taken


def shown(resources: Resources) -> str:
    """Return what a task needs in words: `2 CPUs and 4,000,000,000 bytes of memory`."""
    parts = []
    if "cpu" in resources:
        parts.append(f"{resources['cpu']:g} CPU{'' if resources['cpu'] == 1 else 's'}")
    if "memory" in resources:
        parts.append(f"{int(resources['memory']):,} bytes of memory")
    return " and ".join(parts)
