"""The history of a task: its attempts and the stages of its life, derived from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from angelica.clock import SECOND
from angelica.domain.task import Attempt, State, Task
from angelica.http.command_views import usage_view
from angelica.http.views import error_view, moment


def attempt_views(task: Task, past: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Return the attempts in order: the kept ones, then the current or last one if it is not among them."""
    views = [
        {
            "attempt": each.attempt,
            "outcome": each.outcome,
            "worker": each.worker,
            "start_time": None if each.started_at is None else moment(each.started_at),
            "end_time": moment(each.finished_at),
            "duration": None if each.started_at is None else (each.finished_at - each.started_at) / SECOND,
            "error": None if each.error is None else error_view(each.error),
            "usage": usage_view(each.usage),
        }
        for each in past
    ]
    known = {each.attempt for each in past}
    if task.attempt and task.attempt not in known and (task.state is State.RUNNING or task.is_terminal):
        started, finished = task.started_at, task.finished_at
        views.append(
            {
                "attempt": task.attempt,
                "outcome": task.state.value,
                "worker": task.worker,
                "start_time": None if started is None else moment(started),
                "end_time": None if finished is None else moment(finished),
                "duration": None if started is None or finished is None else (finished - started) / SECOND,
                "error": None if task.error is None else error_view(task.error),
                "usage": usage_view(task.usage) if task.is_terminal else None,
            }
        )
    return views


def stage_events(task: Task, past: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Return the stages: submitted, started and ended attempts, a wish to cancel, the end."""
    stages = [_stage("submitted", task.spec.created_at, by=task.spec.extras.created_by)]
    for each in past:
        if each.started_at is not None:
            stages.append(_stage("started", each.started_at, attempt=each.attempt, worker=each.worker))
        error = None if each.error is None else {"reason": each.error.reason, "type": each.error.type}
        stages.append(_stage(each.outcome, each.finished_at, attempt=each.attempt, error=error))
    known = {each.attempt for each in past}
    if task.started_at is not None and task.attempt not in known and (task.state is State.RUNNING or task.is_terminal):
        stages.append(_stage("started", task.started_at, attempt=task.attempt, worker=task.worker))
    if task.state is State.SCHEDULED:
        stages.append(_stage("due", task.run_at))
    if task.is_terminal and task.finished_at is not None:
        error = None if task.error is None else {"reason": task.error.reason, "type": task.error.type}
        stages.append(_stage("finished", task.finished_at, state=task.state.value, error=error))
    return stages


def _stage(stage: str, at: int, **details: Any) -> dict[str, Any]:
    return {"stage": stage, "time": moment(at), **{name: value for name, value in details.items() if value is not None}}
