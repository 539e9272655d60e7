"""Circuit breakers over HTTP: how each stands, and keeping one open or closed by hand."""

from __future__ import annotations

from typing import Any, Final

from angelica.clock import Now
from angelica.domain.breaker import totals
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.problems import field_problem
from angelica.http.table import Endpoint
from angelica.http.tasks import REASON_LIMIT
from angelica.http.views import moment
from angelica.storage.protocol import BreakerRow

ONE: Final = "/breakers/{name}"


async def index(call: Call) -> Answer:
    """GET /breakers."""
    breakers = call.host.service.breakers
    rows = await breakers.all()
    return json_answer({"items": [breaker_view(row, breakers.now()) for row in rows], "next_cursor": None})


async def show(call: Call) -> Answer:
    """GET /breakers/{name}."""
    breakers = call.host.service.breakers
    return json_answer(breaker_view(await breakers.one(call.params["name"]), breakers.now()))


async def change(call: Call) -> Answer:
    """PATCH /breakers/{name}: `state` open or closed until told otherwise, or reset."""
    given = await call.options({"state": str, "reason": str})
    reason = given.get("reason") or ""
    errors = []
    if given.get("state") is None:
        errors.append(field_problem("/state", "is missing: open, closed or reset", "missing"))
    if len(reason) > REASON_LIMIT:
        text = f"must be at most {REASON_LIMIT} characters"
        errors.append(field_problem("/reason", text, "too_long", max=REASON_LIMIT))
    if errors:
        raise invalid_body(errors, status=call.host.settings.validation_status)
    breakers = call.host.service.breakers
    row = await breakers.set(call.params["name"], given["state"], by=call.caller, reason=reason)
    return json_answer(breaker_view(row, breakers.now()))


def breaker_view(row: BreakerRow, now: Now) -> dict[str, Any]:
    """Return the view of a breaker."""
    breaker = row.breaker
    stands, seen, tries_at = breaker.at(now), totals(breaker, now), breaker.tries_at(now)
    return {
        "name": row.name,
        "state": breaker.shown(now).value,
        "since": moment(stands.since) if stands.since else None,
        "tries_at": None if tries_at is None else moment(tries_at),
        "held": row.held,
        "calls": seen.calls,
        "failed": seen.failed,
        "slow": seen.slow,
        "trips": stands.trips,
        "good_probes": stands.good,
        "probe": None if stands.probe is None else stands.probe.task_id,
        "forced": breaker.forced is not None,
        "by": breaker.by or None,
        "reason": breaker.reason or None,
    }


def endpoints() -> tuple[Endpoint, ...]:
    """Return the addresses of breakers."""
    return (
        Endpoint("GET", "/breakers", index, "read", "List circuit breakers", {200: "BreakerList"}, tag="breakers"),
        Endpoint("GET", ONE, show, "read", "Show a circuit breaker", {200: "Breaker"}, tag="breakers", problems=(404,)),
        Endpoint(
            "PATCH",
            ONE,
            change,
            "operate",
            "Keep a circuit breaker open or closed, or reset it",
            {200: "Breaker"},
            body="BreakerChange",
            tag="breakers",
            problems=(404, 415, 422),
        ),
    )
