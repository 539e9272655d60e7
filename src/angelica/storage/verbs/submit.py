"""Submitting: what becomes of each task where something may stand in its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from angelica.domain.task import NewTask
from angelica.domain.value import maker
from angelica.errors import IdempotencyMismatch
from angelica.storage.protocol import Enqueued, Request, Submitted
from angelica.storage.rows import from_json, task_of, to_json
from angelica.storage.verbs.transaction import Transaction, Value

_submitted: Final[Callable[..., Submitted]] = maker(Submitted)
_enqueued: Final[Callable[..., Enqueued]] = maker(Enqueued)
_REFUSALS: Final = frozenset({"id_conflict", "unique_conflict"})


class Inside(Protocol):
    """What of a transaction it takes to put tasks into the store."""

    async def rows(self, verb: str, *values: Value) -> list[Any]: ...
    async def insert(self, tasks: Sequence[NewTask], wall: int) -> None:
        """Write tasks that are thought to be new. Raises `Clash`."""
        ...


def all_created(tasks: Sequence[NewTask]) -> Enqueued:
    """Return the answer to tasks that were all new."""
    return _enqueued(tuple([_submitted(task.id, "created") for task in tasks]))


async def new_among(tx: Transaction, tasks: Sequence[NewTask]) -> list[NewTask]:
    """Return the tasks that would be stored if they were submitted one by one."""
    return (await _judge(tx, tasks))[1]


async def submit(
    tx: Transaction, tasks: Sequence[NewTask], *, wall: int, atomic: bool = False, request: Request | None = None
) -> Enqueued:
    """Store tasks one by one as far as they may be; nothing is written if this raises."""
    if request is not None:
        await tx.lock("requests", [to_json([request.principal, request.key])])
        stored = await _stored_answer(tx, request, wall)
        if stored is not None:
            return stored
    answer = await put(tx, tasks, wall=wall, atomic=atomic)
    items = answer.items
    if request is not None and not any(item.status == "aborted" for item in items):
        answer_text = to_json([(item.task_id, item.status) for item in items])
        await tx.run(
            "put_request",
            request.principal,
            request.key,
            request.route,
            request.digest,
            answer_text,
            request.expires_at,
        )
    return answer


async def put(inside: Inside, tasks: Sequence[NewTask], *, wall: int, atomic: bool) -> Enqueued:
    """Store tasks one by one as far as they may be; with `atomic`, one refused item leaves all unwritten."""
    items, new = await _judge(inside, tasks)
    refused = atomic and any(item.status in _REFUSALS for item in items)
    if refused:
        ids = {task.id for task in new}
        items = [
            item if item.status in _REFUSALS or item.task_id not in ids else Submitted(task.id, "aborted")
            for item, task in zip(items, tasks, strict=True)
        ]
    elif new:
        await inside.insert(new, wall)
    return Enqueued(tuple(items))


async def _stored_answer(tx: Transaction, request: Request, wall: int) -> Enqueued | None:
    text = await tx.value("request", request.principal, request.key)
    if text is None:
        return None
    route, digest, answer, expires_at = from_json(text)
    if expires_at <= wall:
        return None
    if (route, digest) != (request.route, request.digest):
        raise IdempotencyMismatch(f"the idempotency key {request.key!r} came before with another request")
    return Enqueued(tuple(Submitted(*item) for item in from_json(answer)), replayed=True)


async def _judge(inside: Inside, tasks: Sequence[NewTask]) -> tuple[list[Submitted], list[NewTask]]:
    """Say of each task what becomes of it, as if they came one by one, and which are new."""
    rows = await inside.rows("tasks_by_ids", to_json([task.id for task in tasks]))
    standing = {tasks[position].id: task_of(row).spec for position, row in rows}
    wanted = [(task.function, task.unique.key) for task in tasks if task.unique is not None]
    holders = {
        (function, key): task_id
        for function, key, task_id in (await inside.rows("unique_holders", to_json(wanted)) if wanted else ())
    }
    items: list[Submitted] = []
    new: list[NewTask] = []
    for task in tasks:
        known = standing.get(task.id)
        if known is not None:
            items.append(_submitted(task.id, "existing" if _same(known, task) else "id_conflict"))
            continue
        unique = task.unique
        if unique is not None:
            holder = holders.setdefault((task.function, unique.key), task.id)
            if holder != task.id:
                status = "existing" if unique.on_conflict == "return" else "unique_conflict"
                items.append(_submitted(holder, status))
                continue
        standing[task.id] = task
        new.append(task)
        items.append(_submitted(task.id, "created"))
    return items, new


def _same(standing: NewTask, task: NewTask) -> bool:
    """Whether a repeated id comes with the same request: by the client's digest, or as the same value."""
    digest = task.extras.digest
    return standing == task if digest is None else standing.extras.digest == digest
