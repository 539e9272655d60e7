"""Why a limit holds a task back, and until when: in codes, figures and plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.gates import parts_of
from angelica.domain.limits import frees_at, rate_text
from angelica.domain.reasons import Why
from angelica.durations import format_moment
from angelica.runtime.limits_desk import settings_in
from angelica.storage.protocol import LimitRow

_FULL: Final = {
    "queue": reasons.QUEUE_FULL,
    "function": reasons.FUNCTION_FULL,
    "limit": reasons.LIMIT_FULL,
}


def why_shut(gate: str, rows: Mapping[str, LimitRow], now: Now) -> Why:
    """Return why nothing passes a gate now; the code `ahead` says that something does."""
    kind, name, key = parts_of(gate)
    settings = settings_in(rows, gate)
    row = rows.get(gate, LimitRow(gate))
    what = f"the {kind} {name}/{key}" if key else f"the {kind} {name}"
    params: dict[str, Any] = {kind: name, **({"key": key} if key else {}), "running": row.running}
    blocking = (_address(kind, name, key),)
    if settings.paused:
        params |= {name: row.override[name] for name in ("reason", "by") if row.override.get(name)}
        because = f": {params['reason']}" if "reason" in params else ""
        return Why(reasons.QUEUE_PAUSED, params, blocking=blocking, text=f"{what.capitalize()} is paused{because}.")
    if settings.max_running is not None and row.running >= settings.max_running:
        params["max_running"] = settings.max_running
        text = f"{row.running} of at most {settings.max_running} tasks of {what} run."
        return Why(_FULL[kind], params, blocking=blocking, text=text)
    moment = frees_at(settings, row.bucket, now=now)
    if moment is not None and settings.rate is not None:
        params |= {"rate": rate_text(settings.rate), "until": format_moment(moment)}
        text = f"The rate {params['rate']} of {what} is used up until {params['until']}."
        return Why(reasons.RATE, params, blocking=blocking, text=text)
    return Why(reasons.AHEAD, params, blocking=blocking, text=f"There is room in {what}: it goes on next.")


def _address(kind: str, name: str, key: str) -> str:
    return f"/{kind}s/{name}/{key}" if key else f"/{kind}s/{name}"
