"""Breakers in a storage: what a claim meets of one, and what the ends of attempts make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from angelica.clock import Now
from angelica.domain.breaker import NEW, UNBOUNDED, Breaker
from angelica.domain.gates import gate_of, parts_of
from angelica.domain.lifecycle import Completion
from angelica.domain.task import Lease

FREED: Final = 10_000
"""How many held tasks one call frees at most when a breaker closes; the next sweep frees the others."""


class Fuse:
    """A breaker as a claim meets it: a gate whose room its circuit decides."""

    __slots__ = ("breaker", "met")

    def __init__(self, breaker: Breaker) -> None:
        self.met = breaker
        self.breaker = breaker

    def room(self, now: Now) -> int:
        """Return how many more it lets through."""
        return self.breaker.allow(now)

    def enter(self, lease: Lease, now: Now) -> None:
        """Let an attempt through."""
        self.breaker = self.breaker.begin(lease, now)

    def frees_at(self, now: Now) -> int | None:
        """Return when it is tried again, None if it is not open."""
        return self.breaker.tries_at(now)


def uses_of(ends: Iterable[Completion]) -> list[str]:
    """Return the breakers that completions tell something of, each once."""
    return list(dict.fromkeys(name for end in ends for name in end.uses))


def recorded(breakers: Mapping[str, Breaker], ends: Iterable[Completion], *, now: Now) -> dict[str, Breaker]:
    """Return what ended attempts make of breakers, one after the other."""
    found = dict(breakers)
    for end in ends:
        if end.call is not None:
            for name in end.uses:
                found[name] = found.get(name, NEW).record(end.call, now)
    return found


def freed(before: Mapping[str, Breaker], after: Mapping[str, Breaker], *, now: Now) -> Counter[str]:
    """Return how many of those that each breaker holds may now go on: the next probe, or all."""
    rooms = {
        name: breaker.allow(now)
        for name, breaker in after.items()
        if breaker != before.get(name) and not before.get(name, NEW).allow(now)
    }
    return Counter({breaker_gate(name): FREED if room == UNBOUNDED else room for name, room in rooms.items() if room})


def breaker_gate(name: str) -> str:
    """Return the gate of a breaker."""
    return gate_of("breaker", name)


def is_breaker(gate: str) -> bool:
    """Whether a gate is that of a breaker."""
    return gate.startswith("breaker:")


def breaker_of(gate: str) -> str:
    """Return the name of the breaker whose gate it is."""
    return parts_of(gate)[1]
