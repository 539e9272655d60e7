"""What the tests of functions and of the service share: settings, a registry, a service over memory."""

from __future__ import annotations

import random
from types import SimpleNamespace

from angelica.clock import ManualClock
from angelica.domain.retry import PROFILES
from angelica.runtime.hooks import Hooks
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.service import Service
from angelica.storage.memory import MemoryStorage


def settings(**changes):
    plain = {
        "profiles": PROFILES,
        "retention": 7 * 86_400_000_000,
        "payload_limit": 256 * 1024,
        "result_limit": 64 * 1024,
        "max_depth": None,
        "memory_bound": 3,
    }
    return SimpleNamespace(**{**plain, **changes})


def registry(submitter=None, **changes):
    return FunctionRegistry(settings(**changes), Hooks(), submitter)


class House:
    """A service over memory, with a lane, a clock that moves by hand, and the events it has emitted."""

    def __init__(self, *, lane: bool = True, **changes) -> None:
        self.clock = ManualClock()
        self.storage = MemoryStorage(self.clock)
        self.lane = MemoryStorage(self.clock, url="memory:lane") if lane else None
        self.settings = settings(**changes)
        self.functions = FunctionRegistry(self.settings, Hooks())
        self.hooks = self.functions.hooks
        self.events: list[object] = []
        self.state = "RUNNING"
        generator = random.Random(7)
        self.service = Service(
            self.storage,
            clock=self.clock,
            registry=self.functions,
            settings=self.settings,
            chance=generator.random,
            bits=generator.getrandbits,
            emit=self.events.append,
            lane=self.lane,
            state=lambda: self.state,
        )
