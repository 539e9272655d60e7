"""One node: the worker and the duties of one process over one storage, started and stopped together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from angelica.clock import SECOND, Clock
from angelica.observe.redaction import Redactor
from angelica.runtime.duty import Duty
from angelica.runtime.identity import here, host_name, lives, pid_started
from angelica.runtime.janitor import Host, Janitor
from angelica.runtime.journal import Journal
from angelica.runtime.limits.capacity import capacity, cpu_count
from angelica.runtime.limits_desk import declared
from angelica.runtime.means import Means
from angelica.runtime.promoter import Promoter
from angelica.runtime.pulse import LeaseTimes
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.retime import Retimer
from angelica.runtime.scheduler import Scheduler
from angelica.runtime.scratch import scratch_directory
from angelica.runtime.startfile import StartFile
from angelica.runtime.warm.crew import ProcessSettings
from angelica.runtime.warm.wire import Setup
from angelica.runtime.worker import Worker
from angelica.runtime.worker_settings import CommandSettings, WorkerSettings, capacity_of
from angelica.runtime.zonedata import zone_data
from angelica.settings import Settings
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Storage, WorkerInfo

FLUSH_EVERY = 0.25
FLUSH_AT_REST = 60.0
DECLARE_EVERY = 3_600.0
START_SLOTS = 8_192
ASYNC_SLOTS = 1_000
KEPT_IN_MEMORY = 10_000
"""Ended tasks of `durable=False` functions that can still be asked for."""
LANE_LEASE = 365 * 86_400.0
"""The memory lane dies with its process, so its lease never has to run out."""


class Node:
    """Made by the engine, for the durable storage or for the memory lane.

    `number` (24 random bits) tells the workers of one process apart. `declare` stores the schedules of the code; a
    node without one is of the memory lane: it keeps no start file, declares and fires nothing, and sweeps nothing.
    `child_setup` tells what its child processes load; it raises `NotLoadable`. A node without one has none.
    """

    def __init__(
        self,
        storage: Storage,
        registry: FunctionRegistry,
        settings: Settings,
        *,
        means: Means,
        number: int,
        version: str,
        declare: Callable[[], Awaitable[object]] | None,
        child_setup: Callable[[], Setup] | None = None,
    ) -> None:
        durable = declare is not None
        worker_id = f"{host_name()}/{os.getpid()}-{number:06x}{'' if durable else '-memory'}"
        self._storage = storage
        self._registry = registry
        self._clock = clock = means.clock
        self._durable = durable
        self._loop: asyncio.AbstractEventLoop | None = None
        self._declare_schedules = declare
        self._fair_queues = settings.fair_queues
        self._child_setup = child_setup
        start_file = _start_file(settings, worker_id) if durable else None
        self._quiet = False
        self.journal = Journal(clock, limit=settings.log_limit, line_limit=settings.log_line_limit, scrub=scrubber())
        setup = None if child_setup is None else partial(_with_start_file, child_setup, start_file)
        wanted = _worker_settings(settings, setup, durable=durable)
        self.worker = Worker(
            storage,
            _info(settings, clock, registry, worker_id, version, start_file, wanted),
            registry,
            wanted,
            means=means,
            journal=self.journal,
            start_file=start_file,
        )
        self.duties = self._duties(settings, means)
        self._flusher = self.duties[0]

    def _duties(self, settings: Settings, means: Means) -> list[Duty]:
        chance = means.chance
        poll = settings.poll / SECOND
        promoter = Promoter(self._storage, clock=self._clock, poll=poll)
        host = Host(host_name(), here(), lives)
        janitor = Janitor(self._storage, host, means=means, interval=poll)
        duties = [
            Duty("journal", self._flush, chance=chance),
            Duty("promoter", promoter.step, chance=chance),
            Duty("prune", janitor.prune, chance=chance),
        ]
        if self._durable:
            duties += [
                Duty("janitor", janitor.sweep, chance=chance),
                Duty("limits", janitor.relieve, chance=chance),
                Duty("declare", self._declare, chance=chance),
            ]
        if self._durable and settings.scheduler:
            scheduler = Scheduler(self._storage, means=means, poll=poll)
            retimer = Retimer(self._storage, means=means, edition=zone_data())
            duties.append(Duty("scheduler", scheduler.step, chance=chance))
            duties.append(Duty("retimer", retimer.step, chance=chance))
        return duties

    async def start(self) -> None:
        """Register the worker and begin; raises `StorageUnavailable`, `NotLoadable`."""
        if self._child_setup is not None:
            self._child_setup()
        if self._durable:
            await self._declare()
        self._loop = loop = asyncio.get_running_loop()
        self.journal.on_pending = partial(_nudge, loop, self._flusher)
        await self.worker.start()
        for duty in self.duties:
            duty.start()

    async def stop(self, *, hasten: asyncio.Event | None = None) -> None:
        """Give running tasks the grace time, hand back the rest, and end; from any event loop."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            if not self._loop.is_closed():  # else all of it has ended with its loop
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.stop(hasten=hasten), self._loop))
            return
        for duty in self.duties[1:]:
            await duty.stop()
        await self.worker.stop(hasten=hasten)
        self.journal.on_pending = None
        await self._flusher.stop()

    def rest(self) -> None:
        """Claim no more for now."""
        self.worker.rest()

    def resume(self) -> None:
        """Claim again."""
        self.worker.resume()

    def hand_back(self) -> None:
        """Stop what runs, to be run again by whoever claims it."""
        self.worker.hand_back()

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong now, by the name of the loop; empty while all is well."""
        found = {duty.name: duty.problem for duty in self.duties if duty.problem is not None}
        if self.worker.problem is not None:
            found["worker"] = self.worker.problem
        return found

    async def _flush(self) -> float:
        if self._quiet:  # a first line: its attempt may end before the others of its kind come, and takes them along
            self._quiet = False
            return FLUSH_EVERY
        await self.worker.flush_logs()
        self._quiet = self.journal.rest()
        return FLUSH_AT_REST if self._quiet else FLUSH_EVERY

    async def _declare(self) -> float:
        now = self._clock.wall()
        await self._storage.put_functions([function.row(seen_at=now) for function in self._registry])
        if self._durable:
            puts = declared(self._registry, self._fair_queues)
            await self._storage.put_limits(puts, now=self._clock.now())
        if self._declare_schedules is not None:
            await self._declare_schedules()
        return DECLARE_EVERY


def _nudge(loop: asyncio.AbstractEventLoop, duty: Duty) -> None:
    """Run a duty soon, from whatever thread."""
    loop.call_soon_threadsafe(duty.nudge)


def scrubber() -> Callable[[str], str]:
    """Return what takes secrets out of stored logs: what looks like one, and the environment's own by value."""
    redactor = Redactor()
    redactor.add(*(value for name, value in os.environ.items() if redactor.tells(name.lower())))
    return redactor.text


def make_lane(clock: Clock) -> MemoryStorage:
    """Return the queue of functions that are not durable, not opened yet."""
    return MemoryStorage(clock, url="memory:lane", keep_ended=KEPT_IN_MEMORY)


def _start_file(settings: Settings, worker_id: str) -> StartFile | None:
    path = settings.sqlite_path
    if settings.in_memory:
        return None
    if path is None:
        directory = scratch_directory(settings.shown_url)
    else:
        directory = path.absolute().with_name(path.name + "-run")
        if not directory.is_dir():  # the engine was given a storage of another kind
            return None
    return StartFile(directory / f"{worker_id.replace('/', '_')}.started", START_SLOTS)


def _info(
    settings: Settings,
    clock: Clock,
    registry: FunctionRegistry,
    worker_id: str,
    version: str,
    start_file: StartFile | None,
    wanted: WorkerSettings,
) -> WorkerInfo:
    now = clock.now()
    pid = os.getpid()
    return WorkerInfo(
        id=worker_id,
        host=host_name(),
        boot=now.boot,
        pid=pid,
        pid_started=pid_started(pid),
        version=version,
        started_at=now.wall,
        slots=_slots(wanted),
        capacity=capacity_of(wanted),
        queues=settings.queues,
        functions=(*registry.names(), *(() if wanted.commands is None else wanted.commands.allowed.functions)),
        labels=settings.labels,
        select=settings.select,
        start_file=None if start_file is None else str(start_file.path),
        place=here(),
        cpu=wanted.capacity.cpu,
        memory=wanted.capacity.memory,
    )


def _with_start_file(child_setup: Callable[[], Setup], start_file: StartFile | None) -> Setup:
    path = None if start_file is None else str(start_file.path)
    return msgspec.structs.replace(child_setup(), start_file=path)


def _process_settings(settings: Settings, setup: Callable[[], Setup]) -> ProcessSettings:
    return ProcessSettings(
        slots=_children(settings),
        grace=settings.kill_grace / SECOND,
        max_tasks=settings.process_max_tasks,
        max_memory=settings.process_max_memory,
        max_age=settings.process_max_age,
        setup=setup,
    )


def _threads() -> int:
    return min(32, (os.cpu_count() or 1) + 4)


def _children(settings: Settings) -> int:
    """Return how many child processes there may be: one for each CPU that this process may use."""
    wanted = settings.process_slots or cpu_count()
    return wanted if settings.slots is None else min(wanted, settings.slots)


def _command_settings(settings: Settings) -> CommandSettings | None:
    """Return what is needed to run commands, one for each CPU at a time; None if the configuration has none."""
    if not settings.commands:
        return None
    return CommandSettings(
        cpu_count() if settings.slots is None else min(cpu_count(), settings.slots), settings.commands
    )


def _slots(settings: WorkerSettings) -> int:
    """Return how many tasks a worker runs at a time, over all its executors."""
    processes = 0 if settings.processes is None else settings.processes.slots
    commands = 0 if settings.commands is None else settings.commands.slots
    return settings.cap or settings.async_slots + settings.thread_slots + processes + commands


def _worker_settings(settings: Settings, child_setup: Callable[[], Setup] | None, *, durable: bool) -> WorkerSettings:
    return WorkerSettings(
        async_slots=settings.slots or ASYNC_SLOTS,
        thread_slots=settings.slots or _threads(),
        cap=settings.slots,
        lease=LeaseTimes(
            ttl=settings.lease_ttl / SECOND if durable else LANE_LEASE,
            interval=settings.heartbeat / SECOND if durable else DECLARE_EVERY,
            margin=settings.lease_margin / SECOND,
        ),
        grace=settings.grace / SECOND,
        poll=settings.poll / SECOND,
        checkpoint_limit=settings.checkpoint_limit,
        processes=None if child_setup is None else _process_settings(settings, child_setup),
        commands=_command_settings(settings) if durable else None,
        capacity=capacity(settings.worker_cpu, settings.worker_memory),
    )
