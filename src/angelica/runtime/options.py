"""The options of one submit: what a call says beyond its function and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Final, Literal

from angelica.domain.retry import Backoff, backoff_to_dict
from angelica.domain.task import Unique


class Unset(Enum):
    """For a time-out that was not given, since None means that there is none."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Options:
    """None (for `timeout`: `UNSET`) means the function's default. Durations and moments are microseconds.

    `delay` counts from the submit and excludes `run_at`; `expires` counts from when the task is due and excludes
    `expires_at`. `resources` are CPUs (`cpu`) and bytes (`memory`), all of them ({}: it needs nothing). `created_by`
    is set by the surface that knows the caller, never by a request.
    """

    queue: str | None = None
    priority: int | None = None
    delay: int | None = None
    run_at: int | None = None
    timeout: int | Literal[Unset.UNSET] | None = UNSET
    retries: int | None = None
    backoff: Backoff | None = None
    retry_on: tuple[str, ...] | None = None
    max_crashes: int | None = None
    unique: Unique | None = None
    labels: Mapping[str, str] | None = None
    requires: Mapping[str, str] | None = None
    limits: tuple[str, ...] | None = None
    headers: Mapping[str, str] | None = None
    extensions: Mapping[str, Any] | None = None
    task_id: str | None = None
    version: int | None = None
    result_ttl: int | None = None
    deadline: int | None = None
    expires: int | None = None
    expires_at: int | None = None
    resources: Mapping[str, float] | None = None
    created_by: str | None = None

    def canonical(self) -> dict[str, Any]:
        """Return the options that were given, as JSON values: what two requests must share to be the same."""
        given: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value is UNSET or (value is None and each.name != "timeout") or each.name == "created_by":
                continue
            if isinstance(value, Unique):
                value = {"key": value.key, "scope": value.scope, "on_conflict": value.on_conflict}
            elif each.name == "backoff":
                value = backoff_to_dict(value)
            given[each.name] = value
        return given


NO_OPTIONS: Final = Options()
