"""Runs of schedules that a worker of a version without schedules has ended, and left in the list of unfinished ones.

Such a worker may go on beside this version while a deploy lasts. Nobody would ever settle those runs, and a schedule
that does not overlap would wait for them for good.
"""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain.task import State
from angelica.storage.sqlite.transaction import SqliteStatements, SqliteTransaction
from angelica.storage.verbs.runs import settle_runs
from angelica.storage.verbs.transaction import Over

_FAILED = {State.SUCCEEDED: False, State.FAILED: True}


async def has_stale_runs(db: SqliteStatements) -> bool:
    """Whether there are any."""
    return bool(db.look("stale_runs", 0))


async def settle_stale_runs(tx: SqliteTransaction, *, now: Now) -> None:
    """Settle them as if they ended now."""
    for schedule_id, task_id, finished_at, state in tx.look("stale_runs", now.wall):
        tx.over.append(Over(schedule_id, task_id, finished_at, _FAILED.get(state)))
    await settle_runs(tx, now=now)
