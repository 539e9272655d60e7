"""A host for the API under test: a storage, a clock that stands still, and a hand that plays the worker."""

from __future__ import annotations

import asyncio
import hmac
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

from angelica.clock import SECOND, ManualClock
from angelica.domain.command import NO_COMMANDS, AllowList
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Outcome, Succeeded
from angelica.domain.retry import PROFILES
from angelica.domain.task import DEFAULT_RETENTION, EXECUTORS, Task
from angelica.http.app import create_app
from angelica.http.auth import AuthCallable, Mode
from angelica.http.host import Principal
from angelica.runtime.hooks import Hooks
from angelica.runtime.means import Means
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.schedules import Schedules
from angelica.runtime.service import Service
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Beat, Claim, LogLine, Storage, WorkerInfo

TOKEN = "angelica_" + "x" * 43
LOOPBACK = ("127.0.0.1", 50_000)


def declare(functions: FunctionRegistry) -> None:
    """The functions that the tests submit."""

    async def add(a: int = 0, b: int = 0) -> int:
        return a + b

    async def render(**options: Any) -> None: ...

    async def fleeting() -> None: ...

    functions.declare(add, name="add")
    functions.declare(render, name="render")
    functions.declare(fleeting, name="fleeting", durable=False)


@dataclass
class HouseSettings:
    host: str = "127.0.0.1"
    body_limit: int = 1024 * 1024
    validation_status: int = 422
    allowed_hosts: Sequence[str] = ()
    profiles: Any = field(default_factory=lambda: PROFILES)
    retention: int = DEFAULT_RETENTION
    payload_limit: int = 256 * 1024
    result_limit: int = 64 * 1024
    max_depth: int | None = None
    memory_bound: int = 100
    commands: AllowList = NO_COMMANDS


class HouseTokens:
    def check(self, token: str) -> Principal | None:
        return Principal("token:ci") if hmac.compare_digest(token.encode(), TOKEN.encode()) else None


def browse(app: Any, *, client: tuple[str, int] = LOOPBACK, **options: Any) -> TestClient:
    """A client of any app, from a given peer (Starlette's own has had that argument only since 0.42)."""

    async def from_there(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["client"] = client
        await app(scope, receive, send)

    return TestClient(from_there, **{"base_url": "http://localhost", "follow_redirects": False, **options})


@dataclass
class House:
    """Satisfies `EngineLike`; tests change its fields."""

    settings: HouseSettings = field(default_factory=HouseSettings)
    clock: ManualClock = field(default_factory=ManualClock)
    state: str = "RUNNING"
    version: str = "0.1.0"
    tokens: HouseTokens | None = field(default_factory=HouseTokens)
    mounted_at: str = ""
    starts: int = 0
    store: Callable[[ManualClock], Storage] = MemoryStorage

    def __post_init__(self) -> None:
        self._loop: asyncio.Runner | None = None if self.store is MemoryStorage else asyncio.Runner()
        self.storage = self.store(self.clock)
        self.started_at: int | None = self.clock.now().wall
        self._random = random.Random(7)
        self.lane = MemoryStorage(self.clock, url="memory:lane")
        self.do(self.storage.open())
        self.do(self.lane.open())
        self.functions = FunctionRegistry(self.settings, Hooks(), self)
        declare(self.functions)
        self.service = Service(
            self.storage,
            clock=self.clock,
            registry=self.functions,
            settings=self.settings,
            chance=lambda: 0.0,
            bits=self.bits,
            emit=lambda event: None,
            lane=self.lane,
            state=lambda: self.state,
        )

        self.schedules = Schedules(
            self.storage,
            means=Means(self.clock, lambda: 0.0, lambda event: None),
            registry=self.functions,
            settings=self.settings,
            bits=self.bits,
            state=lambda: self.state,
        )

    async def submit_call(self, function: Any, args: Any, kwargs: Any, options: Any) -> Task:
        return (await self.service.submit_one(function, args, kwargs, options)).task

    async def submit_calls(self, function: Any, calls: Any, options: Any) -> list[Task]:
        return [each.task for each in await self.service.submit_many(function, calls, options)]

    def call(self, coroutine: Any) -> Any:
        return self.do(coroutine)

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    async def start(self) -> None:
        self.starts += 1
        self.started_at = self.clock.now().wall

    async def stop(self) -> None:
        self.starts -= 1
        self.started_at = None

    def do(self, work: Awaitable[Any]) -> Any:
        """Run a coroutine to its end."""

        async def run() -> Any:
            return await work

        # One loop for all, where a storage has to connect again on another.
        return asyncio.run(run()) if self._loop is None else self._loop.run(run())

    def close(self) -> None:
        """Close the storage."""
        self.do(self.storage.close())
        if self._loop is not None:
            self._loop.close()

    def client(self, mode: Mode = "dev", *, auth: AuthCallable | None = None, **options: Any) -> TestClient:
        """A client of the API as its own application."""
        return browse(create_app(self, mode=mode, auth=auth), **options)

    def claim(self) -> Task:
        """Claim the next task, as a worker of its own does."""
        self.claim_nothing()
        room = tuple((kind, 1) for kind in EXECUTORS)
        reply = self.do(self.storage.exchange([], Claim("w-1", 1, room), now=self.clock.now()))
        return reply.claimed[0]  # type: ignore[no-any-return]

    def claim_nothing(self, **info: Any) -> None:
        """Only let the worker and its functions be seen."""
        now = self.clock.now()
        self.do(self.storage.put_functions([function.row(seen_at=now.wall) for function in self.functions]))
        worker = WorkerInfo("w-1", "here", "boot-0", 1, 1, "0.1.0", now.wall, 4, **info)
        self.do(self.storage.heartbeat(Beat(worker, now.tick + 3600 * SECOND, now.wall), now=now))

    def end(self, task: Task, outcome: Outcome | None = None) -> None:
        """End a claimed task."""
        now = self.clock.now()
        end = complete(task, outcome or Succeeded("42"), now=now, chance=0.0, started_at=now.wall - SECOND)
        self.do(self.storage.exchange([end], None, now=now))

    def log(self, task: Task, *messages: str, stream: str = "log", level: str = "INFO", start: int = 1) -> None:
        """Write log lines of a claimed task."""
        lines = [
            LogLine(task.id, task.attempt, start + n, self.clock.now().wall, stream, level, "app", message)
            for n, message in enumerate(messages)
        ]
        self.do(self.storage.append_logs(lines))
