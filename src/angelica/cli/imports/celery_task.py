"""A task that Celery sends by schedule, as ours: its name, its arguments, and what its options become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica.cli.imports.found import Wishes

CLEANUP: Final = "celery.backend_cleanup"
CLEANUP_REASON: Final = "is Celery's own housekeeping; here retention does that (the setting `retention`)"

_UNUSED: Final = {
    "exchange": "routing is by queue here",
    "exchange_type": "routing is by queue here",
    "routing_key": "routing is by queue here",
    "ignore_result": "results are kept as long as the task is",
    "serializer": "payloads are JSON",
    "compression": "payloads are JSON",
    "expires": "the schedule's catch_up and grace say what becomes of a late fire",
    "expire_seconds": "the schedule's catch_up and grace say what becomes of a late fire",
    "retry": "submitting is one transaction",
    "retry_policy": "submitting is one transaction",
    "delivery_mode": "a task is on disk when it is submitted",
}


def options_of(options: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the `task` part of a schedule for Celery's apply_async options; adds a note for each that is lost."""
    made: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "queue" and isinstance(value, str):
            made["queue"] = value
        elif name == "time_limit" and _is_number(value):
            made["timeout"] = value
        elif name == "headers" and isinstance(value, Mapping):
            if value:
                made["headers"] = {str(key): str(each) for key, each in value.items()}
        elif name == "priority":
            notes.append(f"priority {value} is left out: brokers disagree on its direction; here higher is first")
        else:
            notes.append(f"option {name}={value!r} is left out: {_UNUSED.get(name, 'it has no counterpart')}")
    return made


def body_of(
    schedule_id: str, name: str, when: Mapping[str, Any], args: Any, kwargs: Any, wishes: Wishes
) -> dict[str, Any]:
    """Return the body of a schedule that runs a Celery task's namesake."""
    body: dict[str, Any] = {"schedule_id": schedule_id, "name": wishes.renamed(name) or name}
    if args:
        body["args"] = list(args)
    if kwargs:
        body["kwargs"] = dict(kwargs)
    return {**body, **when}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
