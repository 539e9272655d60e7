"""The memory storage's runs: what the end of a run means for those that wait on it and for its schedule."""

from __future__ import annotations

from collections import Counter
from typing import Final

from angelica.clock import Now
from angelica.domain.fire import settle
from angelica.domain.task import State
from angelica.storage.memory_book import Book
from angelica.storage.memory_table import RANG_SCHEDULES, Table
from angelica.storage.schedule_rules import go_on

FAILED: Final = {State.SUCCEEDED: False, State.FAILED: True, State.CANCELLED: None}


def settle_runs(table: Table, book: Book, *, now: Now) -> None:
    """Settle the schedules of the runs that have ended since the last time, and let those go on that wait on them."""
    over, table.over = table.over, []
    later = Counter(schedule_id for schedule_id, _ in over)
    for schedule_id, row in over:
        later[schedule_id] -= 1
        schedule = book.schedules.get(schedule_id)
        if schedule is None:
            continue
        left = len(table.runs.get(schedule_id, ())) + later[schedule_id]
        ended_at = row.finished_at or now.wall
        settled = settle(schedule, ended_at=ended_at, failed=FAILED[row.state], unfinished_left=left)
        if settled is not schedule:
            book.put(settled)
            if (settled.next_fire_at, settled.phase) != (schedule.next_fire_at, schedule.phase):
                table.rang |= RANG_SCHEDULES
    ended = {row.spec.id for _, row in over}
    for schedule_id in dict.fromkeys(schedule_id for schedule_id, _ in over):
        ready, waits = go_on(table.unfinished_runs(schedule_id), ended)
        table.waits.update(waits)
        if ready is not None:
            table.set_off(table.runs[schedule_id][ready], now=now)
