"""The memory storage's submits: what becomes of each task of a batch, and stored answers to repeated requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angelica.clock import Now
from angelica.domain.task import NewTask
from angelica.domain.value import maker
from angelica.errors import IdempotencyMismatch
from angelica.storage.memory_rows import Row
from angelica.storage.memory_table import Table
from angelica.storage.protocol import Enqueued, Request, Submitted

_submitted: Final = maker(Submitted)
_enqueued: Final = maker(Enqueued)
_REFUSALS: Final = frozenset({"id_conflict", "unique_conflict"})


def submit(table: Table, tasks: Sequence[NewTask], *, now: Now) -> Enqueued:
    """Store the tasks one by one."""
    return _enqueued(tuple([submit_one(table, task, now=now) for task in tasks]))


def submit_atomic(table: Table, tasks: Sequence[NewTask], *, now: Now) -> Enqueued:
    """Store all tasks, or none if one of them is refused; the others are then `aborted`."""
    rang = table.rang
    items: list[Submitted] = []
    new: dict[str, Row] = {}
    for task in tasks:
        item = submit_one(table, task, now=now)
        items.append(item)
        if item.status == "created":
            new[task.id] = table.rows[task.id]
    if not any(item.status in _REFUSALS for item in items):
        return _enqueued(tuple(items))
    for row in new.values():
        table.forget(row)
    table.rang = rang
    return _enqueued(tuple([_aborted(item, task, new) for item, task in zip(items, tasks, strict=True)]))


def _aborted(item: Submitted, task: NewTask, new: dict[str, Row]) -> Submitted:
    """A refusal stays, and so does the answer that names a task which stood before the batch."""
    return item if item.status in _REFUSALS or item.task_id not in new else Submitted(task.id, "aborted")


def submit_one(table: Table, task: NewTask, *, now: Now, waits_for: str | None = None) -> Submitted:
    """Store a task if nothing stands in its way; with `waits_for` it waits for another run."""
    task_id = task.id
    standing = table.rows.get(task_id)
    if standing is not None:
        return _submitted(task_id, "existing" if _same(standing.spec, task) else "id_conflict")
    if task.unique is not None:
        holder = table.unique_holder(task)
        if holder is not None:
            return _submitted(holder, "existing" if task.unique.on_conflict == "return" else "unique_conflict")
    table.insert(task, now=now, waits_for=waits_for)
    return _submitted(task_id, "created")


def _same(standing: NewTask, task: NewTask) -> bool:
    """Whether a repeated id comes with the same request.

    A client's own id carries the digest of its canonical request, in which a relative delay is not resolved yet.
    Without one the engine made the id and repeats itself: then it is the same value.
    """
    digest = task.extras.digest
    return standing == task if digest is None else standing.extras.digest == digest


class Requests:
    """The stored answers, by (principal, key)."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[Request, Enqueued]] = {}

    def answer(self, request: Request, *, now: Now) -> Enqueued | None:
        """Return the stored answer of the same request; raises `IdempotencyMismatch` for another one of the key."""
        known, answer = self._answers.get((request.principal, request.key), (None, None))
        if known is None or answer is None or known.expires_at <= now.wall:
            return None
        if (known.route, known.digest) != (request.route, request.digest):
            message = f"the idempotency key {request.key!r} came before with another request"
            raise IdempotencyMismatch(message)
        return Enqueued(answer.items, replayed=True)

    def keep(self, request: Request, answer: Enqueued) -> None:
        self._answers[request.principal, request.key] = request, answer

    def prune(self, *, now: Now) -> None:
        """Forget what has expired."""
        for key, (request, _) in list(self._answers.items()):
            if request.expires_at <= now.wall:
                del self._answers[key]
