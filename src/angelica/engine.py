"""The engine: the composition root, where functions, storage and runtime are joined into one object."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

import angelica
from angelica.children import Children
from angelica.clock import Clock, SystemClock
from angelica.command_desk import CommandDesk
from angelica.declaring import Declaring
from angelica.domain.events import EngineState
from angelica.errors import AngelicaError
from angelica.hosting import Hosting
from angelica.keeping import Keeping
from angelica.living import Living
from angelica.node import Node, make_lane
from angelica.observe import logs
from angelica.runtime.declarations import Declarations
from angelica.runtime.hooks import Hooks
from angelica.runtime.hub import Hub
from angelica.runtime.means import Means
from angelica.runtime.portal import Portal
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.schedules import Schedules
from angelica.runtime.service import Service
from angelica.scheduling import Scheduling
from angelica.settings import Settings
from angelica.storage.protocol import Storage
from angelica.stores import make_storage
from angelica.submitter import Submitter
from angelica.submitting import Submitting

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
E = TypeVar("E")

_NOT_OPEN: Final = "the engine is not open: await engine.start(), or mount it with engine.lifespan"


class Engine(Declaring, Hosting, Living, Children, Submitting, Scheduling):
    """Everything of one store in one process.

    `url` names the store (default `angelica.db` in the current directory, or `ANGELICA_URL`); all settings may be
    given by keyword, by `ANGELICA_*` or in `angelica.toml` (see `Settings`). Making an engine opens nothing: the
    store is opened by the first submit, by `start`, or by the lifespan of the app that it is mounted in.
    """

    def __init__(
        self, url: str | os.PathLike[str] | None = None, *, storage: Storage | None = None, **settings: Any
    ) -> None:
        self.settings = Settings.load(url=None if url is None else os.fspath(url), **settings)
        self.clock: Clock = SystemClock()
        self.state = "RUNNING"
        self.started_at: int | None = None
        self.version: str = angelica.__version__
        self.tokens: Any = None
        self.hooks = Hooks()
        self._portal = Portal()
        self.submitter = Submitter(self)
        self.functions = FunctionRegistry(self.settings, self.hooks, self.submitter)
        self.commands = CommandDesk(self)
        self.log = logging.getLogger("angelica.task")
        self._chance = random.Random()  # noqa: S311 - jitter and ids, not secrets
        self._hub = Hub(self.hooks)
        self._given_storage = storage
        self._storage: Storage | None = None
        self._service: Service | None = None
        self._schedules: Schedules | None = None
        self._declarations = Declarations(self.functions, self.settings.name)
        self.lane = make_lane(self.clock)
        self._node: Node | None = None
        self._lane_node: Node | None = None
        self._by_hand = False
        self._opening = threading.Lock()
        self._opened_by = 0
        self._capture: object | None = None
        self.keeping = Keeping(lambda: self._node)
        self._leaving: asyncio.Task[None] | None = None
        self.mounted_at = ""
        self.after_submit: Callable[[], Awaitable[object]] | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the store is open in this process."""
        return self._service is not None and self._opened_by == os.getpid()

    @property
    def storage(self) -> Storage:
        """The store; raises `AngelicaError` while it is not open."""
        if self._storage is None:
            raise AngelicaError(_NOT_OPEN)
        return self._storage

    @property
    def service(self) -> Service:
        """What HTTP, the CLI and the Python surface ask for; raises `AngelicaError` while the store is not open."""
        if self._service is None:
            raise AngelicaError(_NOT_OPEN)
        return self._service

    async def open(self) -> None:
        """Open the store, if it is not open yet; raises `StorageUnavailable`, `StoreMoved`, `SchemaMismatch`."""
        if self.is_open:
            return
        await asyncio.to_thread(self._opening.acquire)
        try:
            if not self.is_open:
                await self._open()
        finally:
            self._opening.release()

    async def _open(self) -> None:
        if self._storage is not None:
            # SQLite's own rule: a connection must not be carried into a forked process.
            raise AngelicaError("the engine was opened before this process was forked; open it after the fork")
        storage = self._given_storage or make_storage(self.settings, self.clock, chance=self._chance.random)
        await storage.open()
        await self.lane.open()
        if isinstance(self.clock, SystemClock):
            self.clock.follow(await storage.time())
        self._service = Service(
            storage,
            clock=self.clock,
            registry=self.functions,
            settings=self.settings,
            chance=self._chance.random,
            bits=self._chance.getrandbits,
            emit=self._hub.emit,
            lane=self.lane,
            state=lambda: self.state,
        )
        self._service.add_probe("worker", self._problem)
        self._schedules = Schedules(
            storage,
            means=self.means,
            registry=self.functions,
            settings=self.settings,
            bits=self._chance.getrandbits,
            state=lambda: self.state,
        )
        self.state = "RUNNING"
        self._storage = storage
        self._opened_by = os.getpid()

    async def start(self, worker: bool | None = None) -> None:  # noqa: FBT001 - start(worker=False) reads well
        """Open the store and, with `worker` (default: the setting `embed`), run tasks in this process until `stop`."""
        try:
            await self._start(worker)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, worker: bool | None) -> None:  # noqa: FBT001 - as above
        await self.open()
        self.started_at = self.clock.wall()
        if self._by_hand:
            return
        self._capture = self._capture or logs.install()
        self.keeping.start(self.storage, self.means, grace=self.settings.grace)
        if worker is None:
            worker = self.settings.embed == "on"
        if worker and self._node is None:
            self.refuse_in_child()
            node = self._make_node(self.storage, durable=True)
            await node.start()
            self._node = node
        elif self._node is None:
            await self.declare_schedules()
        if any(not function.durable for function in self.functions):
            await self._start_lane()
        self._hub.emit(EngineState(self.state))

    async def stop(self, *, hasten: asyncio.Event | None = None) -> None:
        """Refuse new work, give running tasks the grace time, hand back the rest, close the store."""
        if self._by_hand:
            return
        self.state = "SHUTDOWN"
        self._hub.emit(EngineState(self.state))
        await self.keeping.stop()
        leaving, self._leaving = self._leaving, None
        if leaving is not None and leaving.get_loop() is asyncio.get_running_loop():
            await leaving
        for node in filter(None, (self._lane_node, self._node)):
            await node.stop(hasten=hasten)
        self._lane_node = self._node = None
        await self._hub.settle()
        await self.close()
        if self._capture is not None:
            logs.uninstall(self._capture)
            self._capture = None
        self.state = "TERMINATED"
        self._hub.emit(EngineState(self.state))

    async def close(self) -> None:
        """Close the store; may be called twice."""
        await self.keeping.stop()
        storage, self._storage, self._service, self._schedules = self._storage, None, None, None
        self._brought = False
        if storage is not None:
            await storage.close()
            await self.lane.close()

    @contextmanager
    def substituted(self, storage: Storage, clock: Clock) -> Iterator[None]:
        """Let the engine, not open yet, work on another storage and clock, as tests do; it runs nothing by itself."""
        if self._storage is not None:
            raise AngelicaError("the engine is open already: close it before its storage is replaced")
        before = (self._given_storage, self.clock, self.lane)
        self._given_storage, self.clock, self.lane = storage, clock, make_lane(clock)
        self._by_hand = True
        try:
            yield
        finally:
            self._given_storage, self.clock, self.lane = before
            self._by_hand = False

    def shutdown(self) -> None:
        """Close the store from synchronous code and end the thread behind the blocking calls."""
        if self._node is None:  # else a worker runs, and whoever started it stops it
            self._portal.call(self.close() if self._by_hand else self.stop())
        self._portal.close()

    def _dismiss(self) -> None:
        """An operator wants the worker of this process to stop; an application around it goes on without one."""
        if self.dismissed is not None:
            self.dismissed()
        elif self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        node = self._node
        if node is not None:
            await node.stop()
            self._node = None

    @property
    def means(self) -> Means:
        """The clock, the chance and the way of events, as the parts of the runtime take them."""
        return Means(self.clock, self._chance.random, self._hub.emit)

    def _make_node(self, storage: Storage, *, durable: bool) -> Node:
        node = Node(
            storage,
            self.functions,
            self.settings,
            means=self.means,
            number=self._chance.getrandbits(24),
            version=self.version,
            declare=self.declare_schedules if durable else None,
            child_setup=self.child_setup if durable else None,
        )
        node.worker.dismissed = self._dismiss
        return node

    async def _start_lane(self) -> None:
        if self._lane_node is None and not self._by_hand:
            self._lane_node = node = self._make_node(self.lane, durable=False)
            await node.start()

    def _problem(self) -> str | None:
        """Say what is wrong with the loops of this process, None while all is well."""
        nodes = filter(None, (self._node, self._lane_node))
        return "; ".join(f"{name}: {problem}" for node in nodes for name, problem in node.problems.items()) or None

    def bits(self, count: int, /) -> int:
        """Return `count` random bits, for ids."""
        return self._chance.getrandbits(count)

    def is_ready(self, *, durable: bool) -> bool:
        """Whether a submit can go straight to the service."""
        return self.is_open and (durable or self._lane_node is not None)

    async def get_ready(self, *, durable: bool) -> None:
        """Open the store; for a task that is not durable, start what runs it."""
        await self.open()
        if not durable:
            await self._start_lane()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from synchronous code."""
        return self._portal.call(coroutine)
