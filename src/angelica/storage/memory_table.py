"""The memory storage's table: all rows with their indexes and counters, and every transition of a task."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.lifecycle import Completion
from angelica.domain.task import TERMINAL, Attempt, NewTask, State, Task, TaskError
from angelica.storage.memory_gates import Gates
from angelica.storage.memory_lanes import Lanes
from angelica.storage.memory_rows import Row
from angelica.storage.protocol import Control, ControlStatus, WorkerInfo
from angelica.storage.schedule_rules import latest_busy

_QUEUED: Final = State.QUEUED
_RUNNING: Final = State.RUNNING
_SUCCEEDED: Final = State.SUCCEEDED
_CANCELLED: Final = State.CANCELLED

RANG_READY: Final = 1
RANG_ENDED: Final = 2
RANG_DUE: Final = 4
RANG_CONTROL: Final = 8
RANG_SCHEDULES: Final = 16


@dataclass(slots=True)
class Holder:
    """A worker and the rows that run under its name; `info` is None for one that never registered."""

    info: WorkerInfo | None = None
    lease_until: int = 0
    seen_at: int = 0
    running: dict[str, Row] = field(default_factory=dict)
    control: Control = "run"

    def void(self, tick: int, boot: str) -> bool:
        """Whether its lease is over at `tick` of `boot`; a lease of another boot is over at once."""
        return self.info is None or self.lease_until <= tick or self.info.boot != boot


class Table:
    """Not thread-safe: the storage holds its lock around every call.

    What happens sets bits of `rang`; the storage takes them and rings after it has let go of the lock. With
    `keeps_few` ended rows stand in the order of their end, for `trim`; else in the order of their retention. `runs`
    are the unfinished runs of each schedule, oldest first, and `waits` what each waiting one waits for; those that
    have ended are left in `over` for the storage to settle (`memory_runs`).
    """

    def __init__(self, *, keeps_few: bool = False) -> None:
        self.rows: dict[str, Row] = {}
        self.lanes = Lanes()
        self.gates = Gates()
        self.holders: dict[str, Holder] = {}
        self.tallies: dict[str, dict[State, int]] = {}
        self.unfinished = 0
        self.rang = 0
        self.runs: dict[str, dict[str, Row]] = {}
        self.waits: dict[str, str] = {}
        self.over: list[tuple[str, Row]] = []
        self._uniques: dict[tuple[str, str], str] = {}
        self._parked: dict[tuple[str, str], dict[str, Row]] = {}
        self._keeps_few = keeps_few
        self._retained: list[tuple[int, str]] = []
        self._ended: deque[Row] = deque()

    def insert(self, spec: NewTask, *, now: Now, waits_for: str | None = None) -> Row:
        """Store a new task: ready if it is due, else scheduled; waiting if it is to wait for another run."""
        due = spec.run_at <= now.wall
        state = State.WAITING if waits_for is not None else _QUEUED if due else State.SCHEDULED
        tally = self.tallies.get(spec.queue)
        if tally is None:
            tally = self.tallies[spec.queue] = dict.fromkeys(State, 0)
        row = self.rows[spec.id] = Row(spec, state, tally)
        tally[state] += 1
        self.unfinished += 1
        if spec.unique is not None:
            self._uniques[spec.function, spec.unique.key] = spec.id
        if spec.extras.schedule_id is not None:
            self.runs.setdefault(spec.extras.schedule_id, {})[spec.id] = row
        if waits_for is not None:
            self.waits[spec.id] = waits_for
        elif due:
            self.lanes.add_ready(row)
            self.rang |= RANG_READY
        else:
            self.lanes.add_due(row)
            self.rang |= RANG_DUE
        return row

    def unfinished_runs(self, schedule_id: str) -> dict[str, str | None]:
        """Return the unfinished runs of a schedule, oldest first, with what each waits for."""
        return {task_id: self.waits.get(task_id) for task_id in self.runs.get(schedule_id, ())}

    def predecessor(self, schedule_id: str, after: str | None) -> str | None:
        """Return what a run that is to wait for `after` has to wait for as things stand, if anything."""
        if after is None or after in self.runs.get(schedule_id, ()):
            return after
        return latest_busy(self.unfinished_runs(schedule_id))

    def set_off(self, row: Row, *, now: Now) -> None:
        """Let a waiting row go on: ready if it is due, else scheduled."""
        del self.waits[row.spec.id]
        row.tally[State.WAITING] -= 1
        if row.run_at <= now.wall:
            row.tally[_QUEUED] += 1
            self._make_ready(row)
        else:
            row.state = State.SCHEDULED
            row.tally[State.SCHEDULED] += 1
            row.revision += 1
            self.lanes.add_due(row)
            self.rang |= RANG_DUE

    def unique_holder(self, spec: NewTask) -> str | None:
        """Return the id of the task that has the unique key of `spec`, if any."""
        return None if spec.unique is None else self._uniques.get((spec.function, spec.unique.key))

    def start(self, row: Row, worker: str, running: dict[str, Row]) -> Task:
        """Give a row that was taken from its lane to a worker, as a new attempt."""
        row.attempt += 1
        row.state = _RUNNING
        row.worker = worker
        row.started_at = None
        row.revision += 1
        tally = row.tally
        tally[_QUEUED] -= 1
        tally[_RUNNING] += 1
        running[row.spec.id] = row
        return row.view()

    def holder(self, worker: str) -> Holder:
        """Return what is known of a worker, made now if nothing was."""
        holder = self.holders.get(worker)
        if holder is None:
            holder = self.holders[worker] = Holder()
        return holder

    def control(self, worker: str, control: Control) -> ControlStatus:
        """Write down what a registered worker is to do; a stop stands."""
        holder = self.holders.get(worker)
        if holder is None or holder.info is None:
            return "missing"
        if holder.control == "stop" != control:
            return "stopping"
        holder.control = control
        return "done"

    def end(self, end: Completion, *, now: Now) -> Row | None:
        """Write a completion and return its row, or return None if its fence refuses it."""
        row = self.rows.get(end.task_id)
        if row is None or row.attempt != end.attempt or row.state is not _RUNNING:
            return None
        holder = self.holders[row.worker or ""]
        if end.expired_by is not None and not holder.void(end.expired_by, now.boot):
            return None
        del holder.running[end.task_id]
        if end.task_id in self.gates.passed:
            self.gates.leave(end.task_id, refund=end.outcome == "released")
        row.tally[_RUNNING] -= 1
        row.revision += 1
        if row.failures != end.failures or row.crashes != end.crashes:
            row.failures = end.failures
            row.crashes = end.crashes
        if end.started_at is not None:
            row.started_at = end.started_at
        if end.outcome != "succeeded":
            self._remember(row, end)
        if row.error is not end.error:
            row.error = end.error
        row.usage = end.usage
        if end.state in TERMINAL:
            row.result = end.result
            self._settle(row, end.state, end.finished_at, end.retain_until)
        elif row.cancel_requested:
            row.error = TaskError(reasons.CANCELLED, message=row.cancel_reason or "", attempt=row.attempt)
            self._settle(row, _CANCELLED, end.finished_at, end.retain_until)
        else:
            self._return(row, end)
        return row

    def cancel(self, row: Row, reason: str, *, now: Now, message: str = "") -> None:
        """End a row that has not started (and is in no lane any more) as cancelled."""
        row.tally[row.state] -= 1
        row.revision += 1
        row.held = None
        row.error = TaskError(reason, message=message, attempt=row.attempt)
        self._settle(row, _CANCELLED, now.wall, now.wall + row.spec.policy.retention)

    def request_cancel(self, row: Row, reason: str) -> None:
        """Ask for the end of a running row; the first reason stands."""
        if not row.cancel_requested:
            row.cancel_requested = True
            row.cancel_reason = reason
            row.revision += 1
            self.rang |= RANG_CONTROL

    def withdraw(self, row: Row) -> None:
        """Take an unstarted row out of the index that it stands in."""
        if row.state is State.SCHEDULED:
            self.lanes.drop_due(row)
        elif row.state is State.WAITING:
            del self.waits[row.spec.id]
        elif row.held is not None:
            del self._parked[row.held, row.spec.function][row.spec.id]
        else:
            self.lanes.drop_ready(row)

    def promote(self, row: Row) -> None:
        """Make a row that was taken from the scheduled ones ready."""
        row.tally[State.SCHEDULED] -= 1
        row.tally[_QUEUED] += 1
        self._make_ready(row)

    def park(self, row: Row, rule: str) -> None:
        """Hold a ready row back."""
        self.lanes.drop_ready(row)
        row.held = rule
        row.revision += 1
        self._parked.setdefault((rule, row.spec.function), {})[row.spec.id] = row

    def parked(self, rule: str) -> list[Row]:
        """Return the rows that `rule` holds."""
        return [row for (held, _), rows in self._parked.items() if held == rule for row in rows.values()]

    def unpark(self, row: Row) -> None:
        """Make a held row ready."""
        del self._parked[row.held or "", row.spec.function][row.spec.id]
        row.held = None
        self._make_ready(row)

    def held_counts(self, limit: int) -> dict[tuple[str, str], int]:
        """Return how many rows each (rule, function) holds, each up to `limit`."""
        return {key: min(len(rows), limit) for key, rows in self._parked.items() if rows}

    def forget(self, row: Row) -> None:
        """Delete a row with all that belongs to it; one that has not ended is taken out of its index first."""
        if not row.ended:
            self.withdraw(row)
            self._leave_runs(row)
            self.unfinished -= 1
        row.tally[row.state] -= 1
        del self.rows[row.spec.id]
        self._free_unique(row)

    def take_outdated(self, wall: int, limit: int) -> list[Row]:
        """Return up to `limit` ended rows past their `retain_until`, oldest first."""
        retained = self._retained
        taken: list[Row] = []
        while self._ended and (self._ended[0].retain_until or 0) <= wall and len(taken) < limit:
            ended = self._ended.popleft()
            if self.rows.get(ended.spec.id) is ended and ended.ended:
                taken.append(ended)
        while retained and retained[0][0] <= wall and len(taken) < limit:
            until, task_id = heappop(retained)
            row = self.rows.get(task_id)
            # Else it was deleted by hand, and the id may have been used again.
            if row is not None and row.retain_until == until:
                row.retain_until = None
                taken.append(row)
        return taken

    def trim(self, keep: int) -> None:
        """Delete ended rows, the first to end first, until at most `keep` are left."""
        ended = self._ended
        while len(ended) > keep:
            row = ended.popleft()
            if self.rows.get(row.spec.id) is row and row.ended:
                self.forget(row)

    def _remember(self, row: Row, end: Completion) -> None:
        attempt = Attempt(
            end.task_id, end.attempt, end.outcome, row.worker, row.started_at, end.finished_at, end.error, end.usage
        )
        if row.attempts is None:
            row.attempts = []
        row.attempts.append(attempt)

    def _settle(self, row: Row, state: State, finished_at: int, retain_until: int) -> None:
        """The end of a task, whatever the way."""
        row.state = state
        row.tally[state] += 1
        row.finished_at = finished_at
        row.retain_until = retain_until
        self.unfinished -= 1
        self.rang |= RANG_ENDED
        if self._keeps_few:
            self._ended.append(row)
        else:
            heappush(self._retained, (retain_until, row.spec.id))
        spec = row.spec
        if spec.unique is not None and spec.unique.scope == "live":
            self._free_unique(row)
        if spec.extras.schedule_id is not None:
            self._leave_runs(row)
            self.over.append((spec.extras.schedule_id, row))

    def _return(self, row: Row, end: Completion) -> None:
        """Back to the queue, now or later."""
        row.state = end.state
        row.tally[end.state] += 1
        row.run_at = end.run_at
        row.worker = None
        row.held = end.held
        if end.state is State.SCHEDULED:
            self.lanes.add_due(row)
            self.rang |= RANG_DUE
        elif end.held is not None:
            self._parked.setdefault((end.held, row.spec.function), {})[row.spec.id] = row
        else:
            self.lanes.add_ready(row)
            self.rang |= RANG_READY

    def _leave_runs(self, row: Row) -> None:
        schedule_id = row.spec.extras.schedule_id
        if schedule_id is not None:
            runs = self.runs[schedule_id]
            del runs[row.spec.id]
            if not runs:
                del self.runs[schedule_id]

    def _make_ready(self, row: Row) -> None:
        row.state = _QUEUED
        row.revision += 1
        self.lanes.add_ready(row)
        self.rang |= RANG_READY

    def _free_unique(self, row: Row) -> None:
        unique = row.spec.unique
        if unique is not None and self._uniques.get((row.spec.function, unique.key)) == row.spec.id:
            del self._uniques[row.spec.function, unique.key]
