"""Submitting: many callers' tasks as one insert, and what becomes of each task where something stands in its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from angelica.domain.task import NOTHING, NewTask
from angelica.domain.value import maker
from angelica.errors import IdempotencyMismatch
from angelica.storage.protocol import Enqueued, Request, Submitted, Topic
from angelica.storage.rows import from_json, full_row, is_plain, plain_row, task_of, to_json
from angelica.storage.sqlite.transaction import Clash, Transaction

_submitted: Final[Callable[..., Submitted]] = maker(Submitted)
_enqueued: Final[Callable[..., Enqueued]] = maker(Enqueued)
Piece = tuple[str, int]

_REFUSALS: Final = frozenset({"id_conflict", "unique_conflict"})

# One statement's text stays well below SQLite's bound of 10^9, and is not the size of the heap.
_MOST_ROWS: Final = 5_000
_MOST_CHARACTERS: Final = 8_000_000


class Parcel:
    """Tasks of one or several calls as rows ready to write, made on the callers' side while the writer writes others.

    `plain` and `full` are pieces of JSON text without the outer brackets, each with its number of rows: those of many
    calls make one text. `runs` are those that belong to a schedule; `waits` says which of them wait for another one.
    """

    __slots__ = ("counts", "full", "labels", "plain", "runs", "waits")

    def __init__(self, parts: Sequence[tuple[Sequence[NewTask], int]], waits: Mapping[str, str] = NOTHING) -> None:
        self.waits = waits
        self.runs: list[tuple[str, str, str | None]] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.plain: list[Piece] = []
        self.full: list[Piece] = []
        self.labels: list[tuple[str, str, str]] = []
        self._pack(parts)

    def _pack(self, parts: Sequence[tuple[Sequence[NewTask], int]]) -> None:
        counts, waits = self.counts, self.waits
        plain: list[tuple[object, ...]] = []
        full: list[tuple[object, ...]] = []
        size = 0
        for tasks, wall in parts:
            for task in tasks:
                state = "waiting" if waits and task.id in waits else "queued" if task.run_at <= wall else "scheduled"
                key = (task.queue, state)
                counts[key] = counts.get(key, 0) + 1
                if is_plain(task):
                    plain.append(plain_row(task, state))
                else:
                    full.append(full_row(task, state))
                    self._note(task)
                size += len(task.payload)
                if size > _MOST_CHARACTERS or len(plain) + len(full) >= _MOST_ROWS:
                    self._cut(plain, full)
                    size = 0
        self._cut(plain, full)

    def _note(self, task: NewTask) -> None:
        """Keep what belongs into tables of its own."""
        extras = task.extras
        self.labels += [(task.id, name, value) for name, value in extras.labels.items()]
        if extras.schedule_id is not None:
            self.runs.append((extras.schedule_id, task.id, self.waits.get(task.id)))

    def _cut(self, plain: list[tuple[object, ...]], full: list[tuple[object, ...]]) -> None:
        for rows, pieces in ((plain, self.plain), (full, self.full)):
            if rows:
                pieces.append((to_json(rows)[1:-1], len(rows)))
                rows.clear()


def submit_merged(tx: Transaction, parcels: Sequence[Parcel]) -> None:
    """Store the tasks of many calls in one go; raises `Clash` if one of them stands already."""
    _write_pieces(tx, "insert_plain", [piece for parcel in parcels for piece in parcel.plain])
    _write_pieces(tx, "insert_full", [piece for parcel in parcels for piece in parcel.full])
    labels = [label for parcel in parcels for label in parcel.labels]
    if labels:
        tx.run("insert_labels", to_json(labels))
    runs = [run for parcel in parcels for run in parcel.runs]
    if runs:
        tx.run("insert_runs", to_json(runs))
    for parcel in parcels:
        for (queue, state), n in parcel.counts.items():
            tx.count(queue, state, n)
            if state != "waiting":
                tx.topics.add(Topic.READY if state == "queued" else Topic.DUE)


def all_created(tasks: Sequence[NewTask]) -> Enqueued:
    """Return the answer to tasks that were all new."""
    return _enqueued(tuple([_submitted(task.id, "created") for task in tasks]))


def _write_pieces(tx: Transaction, verb: str, pieces: Sequence[Piece]) -> None:
    texts: list[str] = []
    rows = size = 0
    last = len(pieces) - 1
    for position, (text, count) in enumerate(pieces):
        texts.append(text)
        rows += count
        size += len(text)
        if position == last or size > _MOST_CHARACTERS:
            if tx.run(verb, f"[{','.join(texts)}]") != rows:
                raise Clash
            texts, rows, size = [], 0, 0


def insert(tx: Transaction, tasks: Sequence[NewTask], wall: int, waits: Mapping[str, str] = NOTHING) -> None:
    """Write tasks that are known to be new; `waits` says which of them wait for another run."""
    submit_merged(tx, [Parcel([(tasks, wall)], waits)])


def new_among(tx: Transaction, tasks: Sequence[NewTask]) -> list[NewTask]:
    """Return the tasks that would be stored if they were submitted one by one."""
    return _judge(tx, tasks)[1]


def submit(
    tx: Transaction, tasks: Sequence[NewTask], *, wall: int, atomic: bool = False, request: Request | None = None
) -> Enqueued:
    """Store tasks one by one as far as they may be; nothing is written if this raises."""
    if request is not None:
        answer = _stored_answer(tx, request, wall)
        if answer is not None:
            return answer
    items, new = _judge(tx, tasks)
    refused = atomic and any(item.status in _REFUSALS for item in items)
    if refused:
        ids = {task.id for task in new}
        items = [
            item if item.status in _REFUSALS or item.task_id not in ids else Submitted(task.id, "aborted")
            for item, task in zip(items, tasks, strict=True)
        ]
    else:
        insert(tx, new, wall)
    if request is not None and not any(item.status == "aborted" for item in items):
        answer_text = to_json([(item.task_id, item.status) for item in items])
        tx.run(
            "put_request",
            request.principal,
            request.key,
            request.route,
            request.digest,
            answer_text,
            request.expires_at,
        )
    return Enqueued(tuple(items))


def _stored_answer(tx: Transaction, request: Request, wall: int) -> Enqueued | None:
    text = tx.value("request", request.principal, request.key)
    if text is None:
        return None
    route, digest, answer, expires_at = from_json(text)
    if expires_at <= wall:
        return None
    if (route, digest) != (request.route, request.digest):
        raise IdempotencyMismatch(f"the idempotency key {request.key!r} came before with another request")
    return Enqueued(tuple(Submitted(*item) for item in from_json(answer)), replayed=True)


def _judge(tx: Transaction, tasks: Sequence[NewTask]) -> tuple[list[Submitted], list[NewTask]]:
    """Say of each task what becomes of it, as if they came one by one, and which are new."""
    rows = tx.rows("tasks_by_ids", to_json([task.id for task in tasks]))
    standing = {tasks[position].id: task_of(row).spec for position, row in rows}
    wanted = [(task.function, task.unique.key) for task in tasks if task.unique is not None]
    holders = {
        (function, key): task_id
        for function, key, task_id in (tx.rows("unique_holders", to_json(wanted)) if wanted else ())
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
