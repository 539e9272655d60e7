"""Blame: whether a downstream is at fault for an exception, and for how long it asked to be left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from angelica.clock import SECOND

OVERLOADED: Final = frozenset({429, 503})
"""What a server says that wants to be left alone."""


def blames(error: BaseException, trip_on: Sequence[str]) -> bool:
    """Whether an exception counts as a failure of what the task uses.

    `trip_on` names the classes that do, or classes above them; without any, all do. One that carries the status 429
    or 503 does in any case.
    """
    return not trip_on or is_one_of(error, trip_on) or _status(error) in OVERLOADED


def is_one_of(error: BaseException, names: Sequence[str]) -> bool:
    """Whether `names` has the error's class or one above it, with its module or without."""
    family = type(error).__mro__
    return any(kind.__qualname__ in names or f"{kind.__module__}.{kind.__qualname__}" in names for kind in family)


def leave_alone(error: BaseException, wall: int) -> int | None:
    """Return for how long (microseconds) an exception asks to leave its sender alone, None if it does not say.

    That is its `retry_after` (seconds or a timedelta), or the header Retry-After (seconds or a date) among its
    `headers` or those of its `response`.
    """
    own = _attribute(error, "retry_after")
    if isinstance(own, timedelta):
        return max(int(own.total_seconds() * SECOND), 0)
    if own is not None:
        return _wait(own, wall)
    for holder in (error, _attribute(error, "response")):
        headers = _attribute(holder, "headers")
        if isinstance(headers, Mapping):
            said = next((value for key, value in headers.items() if str(key).lower() == "retry-after"), None)
            if said is not None:
                return _wait(said, wall)
    return None


def _status(error: BaseException) -> Any:
    for holder in (error, _attribute(error, "response")):
        for name in ("status_code", "status"):
            status = _attribute(holder, name)
            if isinstance(status, int):
                return status
    return None


def _wait(said: Any, wall: int) -> int | None:
    try:
        return max(int(float(said) * SECOND), 0)
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return max(int(parsedate_to_datetime(str(said)).timestamp() * SECOND) - wall, 0)
    except (TypeError, ValueError, OverflowError):
        return None


def _attribute(holder: object, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property of the user's own may raise anything
        return None
