"""The fleet: the workers of a store, how each stands, and what operators ask of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from angelica.clock import Now
from angelica.domain.reasons import NO_CAPABLE_WORKER, NO_WORKER_FITS
from angelica.domain.task import State, Task
from angelica.errors import NotFound, WorkerConflict
from angelica.storage.protocol import Control, Storage, TaskFilter, WorkerRow

WorkerState = Literal["running", "draining", "stopping", "lost"]

SHOWN_TASKS: Final = 100
_NOBODY_CAN: Final = frozenset({NO_CAPABLE_WORKER, NO_WORKER_FITS})


@dataclass(frozen=True, slots=True)
class Blocked:
    """Tasks of one function that a rule holds back: how many (10,000 at most are counted), and who could run them.

    `able` are live workers that take tasks of that function and do not drain.
    """

    reason: str
    function: str
    tasks: int
    able: int


def is_live(row: WorkerRow, now: Now) -> bool:
    """Whether a worker's lease still runs."""
    return row.info.boot == now.boot and row.lease_until > now.tick


def takes(row: WorkerRow, now: Now) -> bool:
    """Whether a worker claims tasks now."""
    return state_of(row, now) == "running"


def state_of(row: WorkerRow, now: Now) -> WorkerState:
    """Return how a worker stands: what it was asked for counts from then on, `heeds` says whether it does so already.

    `lost` is one whose lease has run out: dead, cut off, or stopped in its tracks.
    """
    if not is_live(row, now):
        return "lost"
    if "stop" in (row.control, row.info.heeds):
        return "stopping"
    return "draining" if row.control == "drain" else "running"


class Fleet:
    """The workers of one store. Safe to call from any event loop."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def now(self) -> Now:
        """Return the clock by which the leases are judged."""
        return await self._storage.time()

    async def all(self) -> tuple[WorkerRow, ...]:
        """Return the workers that are registered."""
        return await self._storage.list_workers()

    async def one(self, worker: str) -> WorkerRow:
        """Return one of them; raises `NotFound`."""
        found = next((row for row in await self.all() if row.info.id == worker), None)
        if found is None:
            raise NotFound(f"there is no worker {worker[:200]!r}; one that has ended is not listed any more")
        return found

    async def tasks_of(self, worker: str, *, limit: int = SHOWN_TASKS) -> tuple[Task, ...]:
        """Return what a worker holds now, the oldest first."""
        where = TaskFilter(states=frozenset({State.RUNNING}), worker=worker)
        return (await self._storage.list_tasks(where, limit=limit, newest_first=False)).items

    async def blocked(self) -> tuple[Blocked, ...]:
        """Return what is held back, by rule and function."""
        held = await self._storage.count_held()
        if not held:
            return ()
        rows, now = await self.all(), await self.now()
        able = Counter([name for row in rows if takes(row, now) for name in row.info.functions])
        # Who has the labels and the room frees the tasks with the next heartbeat: while they are held, nobody has.
        return tuple(
            [
                Blocked(rule, name, count, 0 if rule in _NOBODY_CAN else able[name])
                for (rule, name), count in sorted(held.items())
            ]
        )

    @staticmethod
    def words(blocked: Iterable[Blocked]) -> str:
        """Say what no live worker can run, empty if there is nothing of that kind."""
        return "; ".join(
            f"{each.tasks} task(s) of {each.function} are held ({each.reason}), and no live worker can run them"
            for each in blocked
            if not each.able
        )

    async def control(self, worker: str, control: Control) -> WorkerRow:
        """Ask a worker to drain, to run again or to stop; return it as it stands then.

        It does so with its next heartbeat at the latest. Raises `NotFound`, and `WorkerConflict` for one that is to
        stop already or whose version heeds nothing.
        """
        row = await self.one(worker)
        if row.info.heeds is None:
            problem = f"the worker {worker} is of version {row.info.version}, which cannot be asked: signal its process"
            raise WorkerConflict(problem)
        (status,) = await self._storage.control_workers([worker], control, now=await self.now())
        if status == "stopping":
            raise WorkerConflict(f"the worker {worker} was asked to stop, which cannot be taken back")
        return await self.one(worker)
