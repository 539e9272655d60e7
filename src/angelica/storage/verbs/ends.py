"""Writing completions: those that simply succeeded in one statement, all others judged against what stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.lifecycle import Completion
from angelica.domain.task import TERMINAL, NewTask, State, TaskError
from angelica.storage.limit_rules import VERSION
from angelica.storage.protocol import Topic
from angelica.storage.rows import error_text, to_json, usage_text
from angelica.storage.verbs.breakers import record_calls
from angelica.storage.verbs.limits import leave
from angelica.storage.verbs.runs import settle_runs
from angelica.storage.verbs.submit import submit
from angelica.storage.verbs.transaction import Clash, Over, Transaction

_SUCCEEDED: Final = State.SUCCEEDED
_FAILED: Final = {State.SUCCEEDED: False, State.FAILED: True, State.CANCELLED: None}


async def write_ends(tx: Transaction, ends: Sequence[Completion], *, now: Now) -> list[bool]:
    """Write the completions as if they came one by one; say of each whether its fence let it through."""
    turned: dict[str, str] = {}
    schedules = {end.schedule_id for end in ends} - {None}
    if schedules:
        # Before the rows: whoever fires a schedule takes them in this order.
        await tx.lock("schedules", [name for name in schedules if name is not None])
    used = any(end.uses for end in ends)
    if used:  # before the rows: whoever holds this lock waits for no row of an attempt that runs
        await tx.lock("limits", [VERSION])
    accepted = await _write(tx, ends, now, turned)
    ended = [end for end, done in zip(ends, accepted, strict=True) if done]
    await leave(tx, [end.task_id for end in ended], {end.task_id for end in ended if end.outcome == "released"})
    if used:
        await record_calls(tx, [end for end in ended if end.uses], now=now)
    if turned or schedules:
        _note_runs(tx, ends, accepted, turned)
        await settle_runs(tx, now=now)
    return accepted


async def _write(tx: Transaction, ends: Sequence[Completion], now: Now, turned: dict[str, str]) -> list[bool]:
    plain = [end for end in ends if _is_plain(end)]
    rest = len(ends) - len(plain)
    if tx.careful or not plain or (rest and not _independent(ends)):
        return await _in_order(tx, ends, now, turned)
    await _write_plain(tx, plain)
    if not rest:
        return [True] * len(ends)
    answers = iter(await _in_order(tx, [end for end in ends if not _is_plain(end)], now, turned))
    return [True if _is_plain(end) else next(answers) for end in ends]


def _note_runs(
    tx: Transaction, ends: Sequence[Completion], accepted: Sequence[bool], turned: Mapping[str, str]
) -> None:
    """Note which runs of schedules have ended; `turned` are those (with their schedules) that a cancel has ended."""
    for end, done in zip(ends, accepted, strict=True):
        if not done:
            continue
        if end.schedule_id is not None and end.state in TERMINAL:
            tx.over.append(Over(end.schedule_id, end.task_id, end.finished_at, _FAILED[end.state]))
        elif end.task_id in turned:
            tx.over.append(Over(turned[end.task_id], end.task_id, end.finished_at, failed=None))


def _is_plain(end: Completion) -> bool:
    """Whether no question is open but the fence (an end beats a cancel), and there is nothing rare to write."""
    plain = end.outcome == "succeeded" and end.state is _SUCCEEDED and end.expired_by is None and not end.then
    return plain and end.usage is None


def _independent(ends: Sequence[Completion]) -> bool:
    """Whether the order of these completions makes no difference."""
    return len({end.task_id for end in ends}) == len(ends) and not any(
        task.unique is not None for end in ends for task in end.then
    )


async def _write_plain(tx: Transaction, ends: Sequence[Completion]) -> None:
    rows = [(e.task_id, e.attempt, e.result, e.started_at, e.finished_at, e.retain_until) for e in ends]
    if await tx.run("end_succeeded", to_json(rows)) != len(rows):
        raise Clash  # a stale one, or one twice
    for end in ends:
        tx.count(end.queue, "running", -1)
        tx.count(end.queue, "succeeded", 1)
    tx.topics.add(Topic.ENDED)


async def _in_order(tx: Transaction, ends: Sequence[Completion], now: Now, turned: dict[str, str]) -> list[bool]:
    """Write in parts: what comes after a follow-up with a unique key must not be written before it."""
    accepted: list[bool] = []
    start = 0
    for position, end in enumerate(ends, 1):
        if position == len(ends) or any(task.unique is not None for task in end.then):
            accepted += await _write_part(tx, ends[start:position], now, turned)
            start = position
    return accepted


async def _write_part(tx: Transaction, ends: Sequence[Completion], now: Now, turned: dict[str, str]) -> list[bool]:
    leases = to_json([(end.task_id, end.attempt, end.expired_by) for end in ends])
    standing = {row[0]: row for row in await tx.rows("leased_rows", leases, now.boot)}
    accepted: list[bool] = []
    seen: set[str] = set()
    rows: list[tuple[object, ...]] = []
    attempts: list[tuple[object, ...]] = []
    follow_ups: list[NewTask] = []
    for position, end in enumerate(ends):
        row = standing.get(position)
        holds = row is not None and end.task_id not in seen and (end.expired_by is None or row[6] == 1)
        accepted.append(holds)
        if row is None or not holds:
            continue
        seen.add(end.task_id)
        rows.append(_judged(tx, end, row))
        if row[7] is not None and end.state not in TERMINAL:
            turned[end.task_id] = row[7]
        if end.outcome != "succeeded":
            started_at = row[5] if end.started_at is None else end.started_at
            parts = (error_text(end.error), usage_text(end.usage))
            attempts.append((end.task_id, end.attempt, end.outcome, row[4], started_at, end.finished_at, *parts))
        follow_ups += end.then
    if rows:
        await tx.run("end_any", to_json(rows))
    if attempts:
        await tx.run("insert_attempts", to_json(attempts))
    if follow_ups:
        await _store_follow_ups(tx, follow_ups, now)
    return accepted


def _judged(tx: Transaction, end: Completion, row: Sequence[Any]) -> tuple[object, ...]:
    """Return the columns to write; a cancel that was asked for meanwhile wins over a retry."""
    _, queue, cancel_requested, cancel_reason, *_ = row
    state, error, result = end.state, end.error, end.result
    if state not in TERMINAL:
        result = None
        if cancel_requested == 1:
            state = State.CANCELLED
            error = TaskError(reasons.CANCELLED, message=cancel_reason or "", attempt=end.attempt)
    over = state in TERMINAL
    tx.count(queue, "running", -1)
    tx.count(queue, state, 1)
    if over:
        tx.topics.add(Topic.ENDED)
    elif state is State.SCHEDULED:
        tx.topics.add(Topic.DUE)
    elif state is State.QUEUED and end.held is None:
        tx.topics.add(Topic.READY)
    return (
        end.task_id,
        state,
        None if over else end.run_at,
        end.failures,
        end.crashes,
        end.started_at,
        result,
        error_text(error),
        end.finished_at if over else None,
        end.retain_until if over else None,
        None if over else end.held,
        usage_text(end.usage),
    )


async def _store_follow_ups(tx: Transaction, tasks: Sequence[NewTask], now: Now) -> None:
    if tx.careful or any(task.unique is not None for task in tasks):
        await submit(tx, tasks, wall=now.wall)
    else:
        await tx.insert(tasks, now.wall)
