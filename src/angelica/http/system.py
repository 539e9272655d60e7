"""The system over HTTP: health, readiness, status, the problems explained."""

from __future__ import annotations

from collections import Counter
from typing import Any

from angelica.clock import SECOND
from angelica.domain.status import STATUS
from angelica.domain.task import State
from angelica.errors import NotFound
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call
from angelica.http.memory import machine_memory, process_memory
from angelica.http.problems import KINDS
from angelica.http.views import moment

TEXT = b"text/plain; charset=utf-8"


async def root(call: Call) -> Answer:
    """GET /: where things are."""
    links = {
        name: call.link(path)
        for name, path in (
            ("docs", "/docs"),
            ("openapi", "/openapi.json"),
            ("tasks", "/tasks"),
            ("schedules", "/schedules"),
            ("functions", "/functions"),
            ("workers", "/workers"),
            ("status", "/api/status"),
            ("health", "/health"),
        )
    }
    return json_answer({"name": "angelica", "links": links})


async def health(call: Call) -> Answer:
    """GET /health: 200 or 503; what exactly fails in detail only for a known caller."""
    now = moment(call.host.clock.now().wall)
    if call.host.started_at is None or call.host.state == "TERMINATED":
        return json_answer({"status": "unhealthy", "timestamp": now, "failing": ["engine"]}, 503)
    found = await call.host.service.health()
    body: dict[str, Any] = {"status": "unhealthy" if found.failing else "healthy", "timestamp": now}
    if found.failing:
        body["failing"] = list(found.failing)
    if call.principal is not None:
        body["detail"] = dict(found.detail)
    return json_answer(body, 503 if found.failing else 200)


async def livez(_call: Call) -> Answer:
    """GET /livez: this process answers."""
    return Answer(200, b"ok", TEXT)


async def readyz(call: Call) -> Answer:
    """GET /readyz: it takes work now."""
    ready = call.host.started_at is not None and call.host.state == "RUNNING"
    if ready and "store" not in (await call.host.service.health()).failing:
        return Answer(200, b"ok", TEXT)
    return Answer(503, b"not ready", TEXT, {"Retry-After": "1"})


async def status(call: Call) -> Answer:
    """GET /api/status."""
    host = call.host
    found = await host.service.health()
    counts = await host.service.counts()
    workers = await host.service.workers()
    blocked = await host.service.fleet.blocked()
    now = host.clock.now().wall
    totals: Counter[str] = Counter(dict.fromkeys(STATUS.values(), 0))
    queues: dict[str, dict[str, int]] = {}
    for (queue, state), count in counts.items():
        totals[STATUS[state]] += count
        queues.setdefault(queue, {each.value: 0 for each in State})[state.value] += count
    body = {
        "state": host.state,
        "uptime": max(now - (host.started_at or now), 0) / SECOND,
        "memory": machine_memory(),
        "process_memory": process_memory(),
        "version": host.version,
        "timestamp": moment(now),
        "failing": list(found.failing),
        "store": found.detail.get("store"),
        "tasks": dict(totals),
        "queues": [{"name": name, "tasks": states} for name, states in sorted(queues.items())],
        "workers": {
            "count": len(workers),
            "slots": sum(row.info.slots for row in workers),
            "running": sum(row.running for row in workers),
        },
        "blocked": [
            {"reason": each.reason, "name": each.function, "tasks": each.tasks, "able_workers": each.able}
            for each in blocked
        ],
        "scheduler": {"lag": await host.schedules.lag() / SECOND},
    }
    return json_answer(body)


async def problem(call: Call) -> Answer:
    """GET /problems/{slug}: what an error means."""
    slug = call.params["slug"]
    kind = KINDS.get(slug)
    if kind is None:
        raise NotFound("no problem of that name")
    return json_answer({"error": slug, "status": kind.status, "title": kind.title, "text": kind.text})
