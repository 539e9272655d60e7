"""The view of suggested limits."""

from __future__ import annotations

from typing import Any, Final

from angelica.clock import SECOND
from angelica.domain.suggestion import ENOUGH, Seen, Suggestion, shown
from angelica.http.schema_forms import INTEGER, NUMBER, TEXT, Schema, nullable, thing

_SEEN: Final = thing(
    "What 19 of 20 runs stayed within, and the most that one took; null if too few were measured.",
    p95=NUMBER,
    max=NUMBER,
)
SUGGESTION: Final[Schema] = thing(
    "Limits for a function, from its latest runs.",
    "text runs needed timeout resources",
    text={**TEXT, "description": "The same in words, as it is written in the declaration."},
    runs={**INTEGER, "description": "How many runs it rests on: those that succeeded or ran into a limit."},
    needed={**INTEGER, "description": "With fewer nothing is suggested."},
    measured={**INTEGER, "description": "Of how many CPU time and memory were measured."},
    stopped={**INTEGER, "description": "How many ran into a limit: what they would have needed is not known."},
    timeout={**nullable(NUMBER), "description": "Seconds."},
    resources={
        **nullable(thing("What a run needs of a machine.", cpu=NUMBER, memory=INTEGER)),
        "description": "`cpu` in CPUs, `memory` in bytes.",
    },
    seen=thing(
        "What was seen: seconds, CPUs (CPU time by run time) and bytes.",
        run_time=nullable(_SEEN),
        cpu_seconds=nullable(_SEEN),
        cpu_share=nullable(_SEEN),
        peak_memory=nullable(_SEEN),
    ),
)


def suggestion_view(suggestion: Suggestion, *, command: bool) -> dict[str, Any]:
    """Return the view of suggested limits."""
    needs = {"cpu": suggestion.cpu, "memory": suggestion.memory}
    return {
        "text": shown(suggestion, command=command),
        "runs": suggestion.runs,
        "needed": ENOUGH,
        "measured": suggestion.measured,
        "stopped": suggestion.stopped,
        "timeout": None if suggestion.timeout is None else suggestion.timeout / SECOND,
        "resources": {name: value for name, value in needs.items() if value is not None} or None,
        "seen": {
            "run_time": _seen(suggestion.run_time, SECOND),
            "cpu_seconds": _seen(suggestion.cpu_time, SECOND),
            "cpu_share": _seen(suggestion.cpu_share),
            "peak_memory": _seen(suggestion.peak_memory),
        },
    }


def _seen(seen: Seen | None, unit: int = 1) -> dict[str, float] | None:
    return None if seen is None else {"p95": round(seen.p95 / unit, 3), "max": round(seen.most / unit, 3)}
