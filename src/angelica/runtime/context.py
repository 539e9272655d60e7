"""The context: what a handler may know and do about its own attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from angelica import strict_json
from angelica.clock import SECOND
from angelica.errors import InvalidValue, Snooze
from angelica.runtime.assignment import Assignment
from angelica.storage.protocol import Note


class Context:
    """One attempt, seen from inside its handler: annotate a parameter with it, or call `engine.current()`.

    Times are seconds or aware UTC datetimes. Progress and checkpoints are stored within 250 ms, and always before
    the attempt's end is written; `limit` (bytes of JSON) bounds each.
    """

    __angelica_context__ = True
    __slots__ = ("_assignment", "_limit", "_note", "_wall")

    def __init__(
        self, assignment: Assignment, *, wall: Callable[[], int], note: Callable[[Note], None], limit: int
    ) -> None:
        self._assignment = assignment
        self._wall = wall
        self._note = note
        self._limit = limit

    @property
    def id(self) -> str:
        """The task's id."""
        return self._assignment.task_id

    task_id = id

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._assignment.attempt

    @property
    def failures(self) -> int:
        """How many attempts have failed before this one."""
        return self._assignment.task.failures

    @property
    def function(self) -> str:
        """The name of the function."""
        return self._assignment.function

    @property
    def queue(self) -> str:
        """The queue that the task came through."""
        return self._assignment.queue

    @property
    def trace_id(self) -> str:
        """32 hex digits that follow the task through retries and children."""
        return self._assignment.trace_id

    @property
    def headers(self) -> Mapping[str, str]:
        """The carried headers (tenant, traceparent …)."""
        return self._assignment.task.spec.extras.headers

    @property
    def labels(self) -> Mapping[str, str]:
        """The task's labels."""
        return self._assignment.task.spec.extras.labels

    @property
    def extensions(self) -> Mapping[str, Any]:
        """The task's free JSON."""
        return self._assignment.task.spec.extras.extensions

    @property
    def auth_token(self) -> str | None:
        """The submitter's token, if it was handed on in the header `auth_token`."""
        return self.headers.get("auth_token")

    @property
    def deadline(self) -> datetime | None:
        """When this attempt must be over: the earlier of its time-out and the task's deadline."""
        moment = self._must_end_by()
        return None if moment is None else datetime.fromtimestamp(moment / SECOND, UTC)

    def remaining(self) -> float | None:
        """Return the seconds left until `deadline` (never below 0), None if there is none."""
        moment = self._must_end_by()
        return None if moment is None else max(moment - self._wall(), 0) / SECOND

    def cancelled(self) -> bool:
        """Return whether this attempt has been told to stop (cancel, time-out, shutdown or a lost lease)."""
        return self._assignment.stop_reason is not None

    @property
    def log(self) -> logging.Logger:
        """A logger named after the function; its lines are stored with the task."""
        return logging.getLogger(f"angelica.task.{self._assignment.function}")

    def progress(self, fraction: float, text: str = "") -> None:
        """Show how far the attempt is: `fraction` from 0 to 1 and a short text."""
        if not 0 <= fraction <= 1:
            raise InvalidValue("/progress", f"fraction must be from 0 to 1, not {fraction!r}")
        value = self._encode("/progress", {"fraction": fraction, "text": text})
        self._note(Note(self.id, self.attempt, progress=value))

    def checkpoint(self, value: Any) -> None:
        """Keep `value` (JSON) for the next attempt, which finds it in `last_checkpoint`."""
        self._note(Note(self.id, self.attempt, checkpoint=self._encode("/checkpoint", value)))

    @property
    def last_checkpoint(self) -> Any:
        """The value that an earlier attempt kept last, None if none did."""
        text = self._assignment.task.checkpoint
        return None if text is None else strict_json.loads(text)

    def snooze(self, after: float) -> NoReturn:
        """End this attempt now and run again `after` seconds from now, at no cost to the retries."""
        raise Snooze(after)

    def _must_end_by(self) -> int | None:
        moments = [m for m in (self._assignment.ends_by, self._assignment.task.spec.deadline) if m is not None]
        return min(moments, default=None)

    def _encode(self, field: str, value: Any) -> str:
        text = strict_json.dumps(value)
        size = len(text) if text.isascii() else len(text.encode())
        if size > self._limit:
            raise InvalidValue(field, f"is {size} bytes of JSON", hint=f"at most {self._limit}", rule="too_large")
        return text
