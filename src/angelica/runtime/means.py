"""The means: what the parts of a node share and never make themselves, so that time and chance stay arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from angelica.clock import Clock
from angelica.domain.events import Event


@dataclass(frozen=True, slots=True)
class Means:
    """`chance()` is from 0 to 1; `emit` takes each event once, after the storage call that made it true."""

    clock: Clock
    chance: Callable[[], float]
    emit: Callable[[Event], None]
