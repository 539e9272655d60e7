"""One attempt as a story: begin, decode, call, name the outcome; the same steps for coroutines and for threads."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from angelica.clock import DAY, SECOND
from angelica.domain import reasons
from angelica.domain.outcome import Cancelled, Failed, Outcome, Released, Snoozed, Succeeded
from angelica.domain.task import TaskError
from angelica.errors import Cancel, Fail, InvalidValue, Retry, Snooze
from angelica.runtime.assignment import Assignment
from angelica.runtime.blame import blames, is_one_of, leave_alone
from angelica.runtime.payload import ResultTooLarge

MESSAGE_LIMIT: Final = 4096
STACK_LIMIT: Final = 16_384
LONGEST_WAIT: Final = 366 * 100 * DAY


class Interrupted(BaseException):
    """Thrown into the thread of a handler that must stop."""


class AttemptSteps:
    """What every executor does around the handler's call."""

    __slots__ = ("_wall",)

    def __init__(self, *, wall: Callable[[], int]) -> None:
        self._wall = wall

    def arguments(self, assignment: Assignment) -> tuple[list[Any], dict[str, Any]]:
        """Return the handler's arguments, decoded and with the context put in where it asks for it."""
        function = assignment.code
        args, kwargs = function.decode(assignment.task.spec.payload)
        if function.context_parameter is not None:
            kwargs = {**kwargs, function.context_parameter: assignment.contexts(assignment)}
        return args, kwargs

    def returned(self, assignment: Assignment, value: Any) -> Outcome:
        """Name the outcome of a handler that returned `value`."""
        if value is None:
            return NOTHING_RETURNED
        try:
            return Succeeded(assignment.code.encode_result(value))
        except BaseException as error:  # noqa: BLE001 - the value's own code may raise anything
            # The body has run: trying again would repeat its effects and end the same way.
            return Failed(self._error(assignment, error, _result_reason(error)), final=True, blames=False)

    def raised(self, assignment: Assignment, error: BaseException) -> Outcome:
        """Name the outcome of a handler that raised `error`."""
        match error:
            case Interrupted() | asyncio.CancelledError() if assignment.stop_reason is not None:
                return self.stopped(assignment)
            case Retry():
                failed = Failed(self._error(assignment, error, reasons.RETRY), retry_after=_micros(error.after))
                return self._blamed(assignment, error, failed)
            case Fail():
                failed = Failed(self._error(assignment, error, reasons.FAIL), final=True)
                return self._blamed(assignment, error, failed)
            case Cancel():
                return Cancelled(message=_text(error))
            case Snooze():
                wait = _micros(error.after)
                if wait is None:
                    wrong = InvalidValue("/after", f"{error.after!r} is no number of seconds")
                    return Failed(self._error(assignment, wrong, reasons.EXCEPTION))
                return Snoozed(self._wall() + wait)
            case _:
                told = self._error(assignment, error, reasons.EXCEPTION)
                final = not _wanted(assignment, error)
                return self._blamed(assignment, error, Failed(told, self._custom_backoff(assignment), final=final))

    def unfit(self, assignment: Assignment, error: BaseException) -> Outcome:
        """Name the outcome when the stored arguments no longer fit the function."""
        if isinstance(error, InvalidValue):
            return Failed(self._error(assignment, error, reasons.INVALID_ARGUMENTS), final=True, blames=False)
        return self.raised(assignment, error)

    def stopped(self, assignment: Assignment) -> Outcome:
        """Name the outcome of a handler that was told to stop and did."""
        match assignment.stop_reason:
            case "timeout":
                seconds = (assignment.task.policy.timeout or 0) / SECOND
                error = TaskError(
                    reasons.TIMEOUT,
                    type="TimeoutError",
                    message=f"did not end within {seconds:g} s",
                    fingerprint=fingerprint(assignment.function, "TimeoutError", ""),
                    attempt=assignment.attempt,
                )
                failed = Failed(error, self._custom_backoff(assignment))
                return self._blamed(assignment, TimeoutError(error.message), failed)
            case "cancel":
                return Cancelled(message=assignment.stop_message)
            case _:
                return Released()

    def _blamed(self, assignment: Assignment, error: BaseException, failed: Failed) -> Failed:
        """Say whether what the task uses is to blame; most use nothing that has a breaker."""
        if not assignment.task.spec.extras.uses:
            return failed
        cause = error.__cause__ if isinstance(error, Retry | Fail) and error.__cause__ is not None else error
        guilty = blames(cause, assignment.code.trip_on)
        return replace(failed, blames=guilty, leave_alone=leave_alone(cause, self._wall()) if guilty else None)

    def _custom_backoff(self, assignment: Assignment) -> int | None:
        custom = assignment.code.custom_backoff
        if custom is None:
            return None
        try:
            return _micros(custom(assignment.task.failures))
        except Exception:  # noqa: BLE001 - the user's code; the policy's own backoff stands in
            return None

    def _error(self, assignment: Assignment, error: BaseException, reason: str) -> TaskError:
        name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        frames = traceback.extract_tb(error.__traceback__)
        where = frames[-1].name if frames else ""
        return TaskError(
            reason=reason,
            type=name,
            message=_text(error),
            stack=_stack(error),
            fingerprint=fingerprint(assignment.function, name, where),
            attempt=assignment.attempt,
        )


NOTHING_RETURNED: Final = Succeeded("null")


def _wanted(assignment: Assignment, error: BaseException) -> bool:
    """Whether the policy's `retry_on` lets this error be tried again: it names the error's class or one above it."""
    names = assignment.task.spec.policy.retry_on
    if not names:
        return True
    return is_one_of(error, names)


def _micros(seconds: Any) -> int | None:
    """Return what a handler gave as seconds in microseconds, within what a store can keep; None if it is no number."""
    try:
        return max(0, min(int(seconds * SECOND), LONGEST_WAIT))
    except (TypeError, ValueError, OverflowError):
        return None


def _result_reason(error: BaseException) -> str:
    return reasons.RESULT_TOO_LARGE if isinstance(error, ResultTooLarge) else reasons.RESULT_NOT_SERIALISABLE


def _text(error: BaseException) -> str:
    try:
        text = str(error)[:MESSAGE_LIMIT]
    except BaseException:  # noqa: BLE001 - an exception whose __str__ raises must not take the worker down
        text = f"<{type(error).__name__} whose text cannot be made>"
    return _storable(text)[:MESSAGE_LIMIT]


def _stack(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error, limit=50)
    except Exception:  # noqa: BLE001 - as above
        return ""
    text = _storable("".join(lines))
    return text if len(text) <= STACK_LIMIT else f"{text[: STACK_LIMIT // 2]}\n…\n{text[-STACK_LIMIT // 2 :]}"


def _storable(text: str) -> str:
    """Write out what no store takes: NUL and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def fingerprint(*parts: str) -> str:
    """Return what groups like errors."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]
