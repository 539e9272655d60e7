"""Why a task is held by a circuit breaker, in a code, its parameters and words."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.breaker import NEW, Breaker, Circuit, totals
from angelica.domain.gates import parts_of
from angelica.domain.reasons import Why
from angelica.durations import format_moment
from angelica.storage.protocol import Storage


async def why_broken(held: str, storage: Storage, now: Now) -> Why:
    """Return why the breaker whose gate holds a task lets it not through."""
    name = parts_of(held)[1]
    row = next((row for row in await storage.list_breakers() if row.name == name), None)
    breaker = NEW if row is None else row.breaker
    tries_at = breaker.tries_at(now)
    params = {
        "breaker": name,
        "state": breaker.shown(now).value,
        "held": 0 if row is None else row.held,
        "until": None if tries_at is None else format_moment(tries_at),
    }
    return Why(reasons.BREAKER_OPEN, params, blocking=(f"/breakers/{name}",), text=_words(name, breaker, now))


def _words(name: str, breaker: Breaker, now: Now) -> str:
    stands = breaker.shown(now)
    tries_at = breaker.tries_at(now)
    if breaker.forced is Circuit.OPEN:
        reason = f": {breaker.reason}" if breaker.reason else ""
        return f"The breaker of {name}, which it uses, is kept open{f' by {breaker.by}' if breaker.by else ''}{reason}."
    if tries_at is not None:
        return f"{name}, which it uses, has failed and is left alone; one task tries it at {format_moment(tries_at)}."
    if stands is Circuit.HALF_OPEN:
        probe = breaker.at(now).probe
        trying = "one task at a time tries it" if probe is None else f"the task {probe.task_id} tries it now"
        return f"{name}, which it uses, has failed; {trying}, and all go on after three that succeed in a row."
    seen = totals(breaker, now)
    return f"{name}, which it uses, works again ({seen.calls} calls, {seen.failed} failed); it goes on within a second."
