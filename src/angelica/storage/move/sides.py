"""What a move asks of a storage: `Exporter` of the one that it leaves, `Importer` of the one that it goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from angelica.clock import Now
from angelica.domain.fence import Fence
from angelica.storage.move.fences import Judge
from angelica.storage.move.plan import Row, Table

Counts = Mapping[tuple[str, str], int]
"""How many tasks stand in each (queue, state); none of them is zero."""


Digest = Mapping[int, tuple[int, int]]
"""Ended tasks by the minute that they are kept until (-1: for ever): how many, and the sum of their microseconds.

A task that has ended does not change any more, and one that ends later is kept until later: two stores of which one
was copied from the other have the same tasks in a bucket if both numbers are the same.
"""

Ended = tuple[str, int]
"""The id of an ended task and the moment of its end: the same id may come again after it was deleted."""


class Side(Protocol):
    """One store of a move. It reads and writes whatever the fence says: only a mover may use it, and only one."""

    shown: str
    """The address, without a password."""

    async def open(self) -> None:
        """Connect and keep other movers out; raises `Conflict` if there is one."""
        ...

    async def close(self) -> None: ...

    async def now(self) -> Now:
        """Return the store's own clock."""
        ...

    async def swap_fence(self, judge: Judge) -> Fence | None:
        """Let `judge` decide over the fence with all writers shut out; return the one that stands then.

        Whoever waits for wake-ups is woken. From the return on no write is under way that has not seen it.
        """
        ...

    async def fence(self) -> Fence | None:
        """Return the fence that stands."""
        ...

    async def note(self, key: str) -> str | None:
        """Return a fact that a move has left in the store."""
        ...

    async def put_note(self, key: str, text: str | None) -> None:
        """Leave a fact, or take it away."""
        ...

    async def ids(self, after: str, limit: int, *, ended: bool) -> list[str]:
        """Return ids of ended or of other tasks after `after`, in order."""
        ...

    async def digest(self) -> Digest:
        """Return what sums up the ended tasks, from an index alone."""
        ...

    async def ended_in(self, bucket: int) -> list[Ended]:
        """Return the ended tasks of one bucket of the digest."""
        ...

    async def sizes(self, ids: Sequence[str]) -> list[int]:
        """Return about how many bytes each of these tasks takes with all that belongs to it."""
        ...

    async def tasks(self, ids: Sequence[str]) -> list[Row]:
        """Return the rows of these tasks, in order of id."""
        ...

    async def parts(self, table: Table, ids: Sequence[str]) -> list[Row]:
        """Return the rows of a table that belong to these tasks."""
        ...

    async def page(self, table: Table, after: Sequence[Any] | None, limit: int) -> list[Row]:
        """Return rows of a table in order of the key, those that come after the key `after`."""
        ...

    async def counts(self) -> Counts:
        """Return what the counters say."""
        ...

    async def counted(self) -> Counts:
        """Return what the rows say."""
        ...

    async def totals(self, tables: Iterable[Table]) -> dict[str, int]:
        """Return how many rows there are in each table."""
        ...


class Exporter(Side, Protocol):
    """The store that is left."""

    async def arm(self) -> None:
        """Prepare for a fence: from now on `swap_fence` may raise one. Costs the writers something on PostgreSQL."""
        ...

    async def disarm(self) -> None:
        """Undo `arm`, if no fence stands."""
        ...

    async def running(self) -> int:
        """Return how many tasks run."""
        ...

    async def holders(self) -> list[Row]:
        """Return the workers that hold running tasks, as rows of `WORKERS`."""
        ...


class Importer(Side, Protocol):
    """The store that is filled."""

    async def arm(self) -> None:
        """As for an exporter: whoever has opened the target already is to be kept out."""
        ...

    async def disarm(self) -> None:
        """As for an exporter."""
        ...

    async def load(
        self, rows: Mapping[str, Sequence[Row]], counts: Counts, notes: Mapping[str, str], *, drop: Sequence[str] = ()
    ) -> None:
        """Delete the tasks of `drop`, then write new rows by table, with counters and notes, in one transaction."""
        ...

    async def reset(self, *, everything: bool) -> None:
        """Delete all but the ended tasks, with `everything` these too."""
        ...


class FullSide(Exporter, Importer, Protocol):
    """A store that can be left and filled, as all our adapters' can."""
