"""The supervisor: parent of the API process and the workers; restarts what dies, stops in order, leaves no orphan."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from angelica.clock import SECOND, tick_micros
from angelica.domain.retry import Exponential, delay
from angelica.runtime.child import Child, ChildSpec, Failure
from angelica.runtime.childfiles import FileWatch
from angelica.runtime.settle import Death

RESTART: Final = Exponential(base=0.05, cap=30.0, jitter=0.5)
PARKED: Final = Exponential(base=1.0, cap=30.0, jitter=0.5)
STEADY: Final = 10 * SECOND
"""A child that was ready for this long has earned a fresh backoff."""
MARGIN: Final = 5 * SECOND
"""What a child may take beyond the grace time before it is killed."""
_HASTEN_RELOAD: Final = 1.0

NoticeKind = Literal["ready", "died", "failed", "reloading", "stopping", "killed", "left"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened to a child, for the terminal: `text` in one line, `failure` if it could not start."""

    kind: NoticeKind
    child: str
    text: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A worker process that ended without being asked to, or had to be killed."""

    worker: str
    pid: int
    returncode: int
    start_file: str | None
    store: str | None = None


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Whom the supervisor tells. `worker_died` hands the tasks back, while the next worker starts."""

    notice: Callable[[Notice], None]
    all_ready: Callable[[Sequence[Child]], None]
    worker_died: Callable[[DeadWorker], Awaitable[None]]


class Supervisor:
    """Runs `specs` until `stop` is called. `grace` is microseconds; `chance` chooses the jitter of restarts."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        callbacks: Callbacks,
        *,
        grace: int,
        chance: Callable[[], float],
        reload: bool = False,
    ) -> None:
        self._specs = tuple(specs)
        self._tell = callbacks
        self._grace = grace
        self._chance = chance
        self._reload = reload
        self._children: dict[str, Child] = {}
        self._watch = FileWatch()
        self._wake = {spec.name: asyncio.Event() for spec in specs}
        self._signals = 0
        self._stopping = asyncio.Event()
        self._hasten = asyncio.Event()
        self._announced = False
        self._left: set[str] = set()
        self._exit_code = 0
        self._background: set[asyncio.Task[None]] = set()
        self._settling: list[asyncio.Task[None]] = []

    @property
    def children(self) -> tuple[Child, ...]:
        """The children that run now."""
        return tuple(self._children.values())

    def stop(self, exit_code: int = 0) -> None:
        """Stop in order; a second call hastens the workers, a third kills all at once. For signal handlers."""
        self._signals += 1
        if self._signals == 1:
            self._exit_code = exit_code
            self._stopping.set()
        elif self._signals == 2:  # noqa: PLR2004 - the second signal
            self._hasten.set()
        else:
            for child in self.children:
                child.kill()

    def reload(self, why: str) -> None:
        """Restart every child with fresh code; what their workers run is handed back at no cost."""
        self._tell.notice(Notice("reloading", "all", why))
        for event in self._wake.values():
            event.set()
        for child in self.children:
            self._spawn_task(self._bounce(child))

    async def run(self) -> int:
        """Start all children, keep them running until `stop`, end them; return the exit code."""
        keepers = [asyncio.create_task(self._keep(spec), name=spec.name) for spec in self._specs]
        for keeper in keepers:
            keeper.add_done_callback(self._on_keeper_done)
        if self._reload:
            self._spawn_task(self._watch.run(self._on_change))
        await self._stopping.wait()
        try:
            await self._wind_down(keepers)
        finally:
            for child in self.children:
                child.kill()
            await asyncio.gather(*keepers, return_exceptions=True)
            await asyncio.gather(*self._settling)
            for task in self._background:
                task.cancel()
        return self._exit_code

    def _spawn_task(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _keep(self, spec: ChildSpec) -> None:
        """Run one child again and again until the supervisor stops, or an operator has stopped it."""
        tries = 0
        while not self._stopping.is_set():
            # Cleared before the code is read: a change after this moment cuts the next pause short.
            self._wake[spec.name].clear()
            child = await Child.spawn(spec)
            self._children[spec.name] = child
            if self._stopping.is_set():
                child.terminate()
            code = await child.listen(self._on_ready)
            del self._children[spec.name]
            if spec.kind == "worker" and child.ready and (code != 0 or not (child.stopping or child.leaving)):
                self._settling = [task for task in self._settling if not task.done()]
                self._settling.append(asyncio.create_task(self._hand_back(child, code)))
            if child.leaving:
                self._left.add(spec.name)
                text = f"{spec.name} (pid {child.pid}) was asked to stop; it is not started again"
                self._tell.notice(Notice("left", spec.name, text))
                return
            if child.stopping or self._stopping.is_set():
                self._report_stopped(child, code)
                tries = 0
                continue
            if child.ready and tick_micros() - child.born > STEADY:
                tries = 0
            self._report(child, code)
            await self._pause(spec, delay(RESTART if child.ready else PARKED, tries, chance=self._chance()))
            tries += 1

    def _on_keeper_done(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (problem := keeper.exception()) is not None:
            failure = Failure(f"{keeper.get_name()} cannot be started: {problem}")
            self._tell.notice(Notice("failed", keeper.get_name(), failure.error, failure))
            if not self._stopping.is_set():
                self.stop(1)

    def _on_ready(self, child: Child) -> None:
        self._watch.follow(child.files)
        self._tell.notice(Notice("ready", child.spec.name, f"{child.spec.name} is ready (pid {child.pid})"))
        children = self.children
        expected = len(self._specs) - len(self._left)
        if not self._announced and len(children) == expected and all(one.ready for one in children):
            self._announced = True
            self._tell.all_ready(children)

    async def _hand_back(self, child: Child, code: int) -> None:
        facts = child.facts
        dead = DeadWorker(str(facts.get("worker", "")), child.pid, code, facts.get("start_file"), facts.get("store"))
        try:
            await self._tell.worker_died(dead)
        except Exception as problem:  # noqa: BLE001 - the sweep is the net below; the restart must go on
            text = f"the tasks of {child.spec.name} wait for the sweep: {problem}"
            self._tell.notice(Notice("died", child.spec.name, text))

    def _report(self, child: Child, code: int) -> None:
        self._watch.follow(child.files)
        name, failure = child.spec.name, child.failure
        how = Death.of_returncode(child.pid, code).words()
        if child.ready and (failure is None or failure.fatal is None):
            self._tell.notice(Notice("died", name, f"{name} (pid {child.pid}) {how}; starting it again"))
            return
        if failure is None:
            failure = Failure(f"{name} {how} before it was ready", "its output above says why")
        self._tell.notice(Notice("failed", name, failure.error, failure))
        if failure.fatal is not None and not self._reload and not self._stopping.is_set():
            self.stop(failure.fatal)

    def _report_stopped(self, child: Child, code: int) -> None:
        """Say how a child ended that was to stop and did not do so in order."""
        if code == 0 or not child.ready:  # a TERM may come before the child listens: then any code will do
            return
        if child.killed and code == -signal.SIGKILL:  # that was us
            return
        why = "" if child.failure is None else f": {child.failure.error}"
        how = Death.of_returncode(child.pid, code).words()
        text = f"{child.spec.name} (pid {child.pid}) {how} while it was stopping{why}"
        self._tell.notice(Notice("died", child.spec.name, text))

    async def _pause(self, spec: ChildSpec, seconds: float) -> None:
        """Wait before a restart, shorter if the code changed or all is stopping."""
        event = self._wake[spec.name]
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._stopping.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _on_change(self, files: list[str]) -> None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        self.reload(f"{files[0]}{more} changed")

    async def _bounce(self, child: Child) -> None:
        for ask in (child.terminate, child.hasten):  # unsaved minutes matter less than a quick turn
            ask()
            await _gone([child], _HASTEN_RELOAD)
        await _gone([child], MARGIN / SECOND)
        child.kill()

    async def _wind_down(self, keepers: Iterable[asyncio.Task[None]]) -> None:
        """Intake off, workers end within the grace time, then the API process ends."""
        self._tell.notice(Notice("stopping", "all", "stopping: running tasks may finish, the rest are handed back"))
        workers = [child for child in self.children if child.spec.kind == "worker"]
        others = [child for child in self.children if child.spec.kind != "worker"]
        for child in others:
            child.tell("drain")
        for child in workers:
            child.terminate()
        hasten = asyncio.create_task(self._hasten.wait())
        ended = asyncio.create_task(_gone(workers, (self._grace + MARGIN) / SECOND))
        await asyncio.wait({hasten, ended}, return_when=asyncio.FIRST_COMPLETED)
        hasten.cancel()
        if not ended.done():
            for child in workers:
                child.hasten()
            await _gone(workers, MARGIN / SECOND)
            ended.cancel()
        self._kill(workers)
        for child in others:
            child.terminate()
        await _gone(others, MARGIN / SECOND)
        self._kill(others)
        await asyncio.wait(keepers, timeout=MARGIN / SECOND)

    def _kill(self, children: Iterable[Child]) -> None:
        for child in children:
            if child.process.returncode is None:
                self._tell.notice(Notice("killed", child.spec.name, f"{child.spec.name} did not stop in time; killed"))
                child.kill()


async def _gone(children: Sequence[Child], seconds: float) -> None:
    """Wait until all have ended, at most `seconds`."""
    waits = [asyncio.create_task(child.process.wait()) for child in children if child.process.returncode is None]
    if waits:
        _, late = await asyncio.wait(waits, timeout=max(seconds, 0.0))
        for wait in late:
            wait.cancel()
