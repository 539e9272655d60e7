"""What the verbs of the SQL adapters stand on: statements by name, counter deltas, and what is to be rung for.

A verb is a coroutine over these, the same for all SQL adapters. Where the driver works in a thread of its own, nothing
is ever waited for and `finished` takes its result at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

from angelica.domain.placement import Late
from angelica.domain.task import NOTHING, NewTask, Task
from angelica.storage.protocol import Topic

R = TypeVar("R")
Value = str | int | None
Lockable = Literal["schedules", "requests", "limits"]


class Freed(NamedTuple):
    """A task that is ready again in the middle of its lane, and where it stands."""

    id: str
    executor: str
    queue: str
    priority: int
    run_at: int


class Taken(NamedTuple):
    """What a claim has done, in the order in which it did: whom it took, who had lapsed, for whom it keeps room."""

    claimed: Sequence[Task]
    lapsed: Sequence[Task]
    kept: Late | None = None


NONE_TAKEN: Final = Taken((), ())


class Over(NamedTuple):
    """A run of a schedule that has ended; `failed` is None for a cancelled one."""

    schedule_id: str
    task_id: str
    ended_at: int
    failed: bool | None


class Clash(Exception):
    """A set-based write met a row it did not expect: the transaction is undone and done again, item by item."""


class Statements(Protocol):
    """The statements of a connection, by verb. A whole batch goes in as one JSON text."""

    prefix: str
    """What stands before the name of a table."""
    source_term: str
    """SQL for the code that declares a schedule, as the index `declared_by` has it."""

    async def value(self, verb: str, *values: Value) -> Any:
        """Return the first column of the first row, None without one."""
        ...

    async def rows(self, verb: str, *values: Value) -> list[Any]:
        """Return the JSON array that a statement gives as one value."""
        ...

    async def filtered(self, verb: str, where: str, values: Sequence[Value]) -> list[Any]:
        """Return the rows of a verb that leaves its filter open; `where` is put together from fixed parts, with `?`."""
        ...

    def way(self, index: str) -> str:
        """Return what leads to the rows through an index, in the words of the verb that leaves its filter open."""
        ...

    def among(self, index: str) -> str:
        """Return the condition of the rows of an index of a state, empty where the state says it."""
        ...


class Transaction(Statements, Protocol):
    """One write transaction.

    `careful` is set when the first try clashed: verbs then look before they write. `topics` are what it has to ring
    for after the commit. `over` are the runs of schedules that have ended in this call and are still to be settled,
    `left` how many have left each gate of a limit and are still to be replaced. `counted` are the tasks that have been
    counted at gates, `freed` those that stand ready in the middle of a lane: a gate held them,
    or they had no lane of their tenant's.
    """

    careful: bool
    topics: set[Topic]
    over: list[Over]
    left: Counter[str]
    counted: set[str]
    freed: list[Freed]

    async def run(self, verb: str, *values: Value) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    async def insert(self, tasks: Sequence[NewTask], wall: int, waits: Mapping[str, str] = NOTHING) -> None:
        """Write tasks that are thought to be new; `waits` says which of them wait for another run. Raises `Clash`."""
        ...

    async def lock(self, kind: Lockable, names: Sequence[str]) -> None:
        """Keep others from what bears these names until the end of the transaction."""
        ...

    async def levels(
        self, kinds: Sequence[str], queues: Sequence[str] | None, select: Mapping[str, str]
    ) -> Sequence[Sequence[Any]]:
        """Return the levels that have ready rows (with the labels of `select`): (lane, queue, priority, oldest)."""
        ...

    def count(self, queue: str, state: str, n: int) -> None:
        """Change the counter of (queue, state)."""
        ...


def finished(coroutine: Coroutine[Any, Any, R]) -> R:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: R = done.value
        return result
    coroutine.close()
    raise RuntimeError("a verb waited where nothing can")
