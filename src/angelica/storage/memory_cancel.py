"""The memory storage's cancel: at once where a task has not started, else a request."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.task import State
from angelica.storage.memory_table import Table
from angelica.storage.protocol import CancelStatus


def cancel(table: Table, task_id: str, reason: str, *, now: Now) -> CancelStatus:
    """Cancel one task and say what that meant."""
    row = table.rows.get(task_id)
    if row is None:
        return "missing"
    if row.ended:
        return "finished"
    if row.state is State.RUNNING:
        table.request_cancel(row, reason)
        return "requested"
    table.withdraw(row)
    table.cancel(row, reasons.CANCELLED, now=now, message=reason)
    return "cancelled"
