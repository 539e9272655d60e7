"""The latest attempts, in the order that every storage gives them in."""

from __future__ import annotations

from collections.abc import Iterable

from angelica.domain.task import Attempt


def latest(attempts: Iterable[Attempt], limit: int) -> tuple[Attempt, ...]:
    """Return the attempts that had begun, the latest end first, `limit` at most."""
    begun = [attempt for attempt in attempts if attempt.started_at is not None]
    return tuple(sorted(begun, key=lambda each: (each.finished_at, each.task_id, each.attempt), reverse=True)[:limit])
