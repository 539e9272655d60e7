"""Circuit breakers: a downstream that fails is left alone for a while, then tried by one task at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from angelica.clock import DAY, MINUTE, SECOND, Now
from angelica.domain.task import Lease

PARTS: Final = 10
"""Into how many parts the window is cut: a breaker is never larger than that, however many calls it has seen."""
UNBOUNDED: Final = 1 << 40
"""What a closed breaker lets through."""
LONGEST_WISH: Final = DAY
"""The most that a Retry-After can ask for."""


class Circuit(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker trips, for how long, and when it closes again; durations in microseconds.

    It trips at `calls` or more in `window` of which the share `ratio` failed, or of which the 95th percentile of the
    run times is beyond what their functions allow. It is open for `first`, twice as long each time that a probe has
    failed, at most `longest`. It closes after `probes` good ones in a row.
    """

    window: int = 30 * SECOND
    calls: int = 10
    ratio: float = 0.5
    first: int = 30 * SECOND
    longest: int = 10 * MINUTE
    probes: int = 3

    @property
    def width(self) -> int:
        """How long each part of the window is."""
        return max(self.window // PARTS, 1)


DEFAULT_RULES: Final = Rules()


@dataclass(frozen=True, slots=True)
class Call:
    """What one ended attempt says of a downstream.

    `failed` None says nothing: it was cancelled, handed back, or its process died. `slow`: it took longer than its
    function allows. `retry_after` (microseconds) is for how long the downstream asked to be left alone. `began` is the
    moment when the attempt began.
    """

    lease: Lease
    failed: bool | None
    slow: bool = False
    retry_after: int | None = None
    began: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The calls that ended in one part of the window, by the part's number on the wall clock."""

    place: int
    calls: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Breaker:
    """One downstream as it stands.

    `since` is when it came to stand so, `until` (open only) when it is tried again. `trips` counts how often it has
    opened without having closed; `good` are the probes that went well since it is half open. `probe` is the attempt
    that tries it now, `probed_at` the moment when that was let through. `wish` is the moment until which the downstream
    asked to be left alone. `forced` (`open` or `closed`) is what an operator has set, which stands until it is taken
    back.
    """

    circuit: Circuit = Circuit.CLOSED
    since: int = 0
    until: int = 0
    trips: int = 0
    good: int = 0
    probe: Lease | None = None
    probed_at: int = 0
    wish: int = 0
    parts: tuple[Part, ...] = ()
    forced: Circuit | None = None
    by: str = ""
    reason: str = ""

    def at(self, now: Now, rules: Rules = DEFAULT_RULES) -> Breaker:
        """Return it as it is at `now`: one whose time is over is half open.

        Where the clock has been set back to before it opened, its time counts from now: half open at once is the
        lesser evil, because one task tries it.
        """
        if self.circuit is Circuit.OPEN and not self.since <= now.wall < self.until:
            return replace(self, circuit=Circuit.HALF_OPEN, since=now.wall, until=0, good=0, probe=None, probed_at=0)
        if self.probe is not None and not self.probed_at <= now.wall < self.probed_at + rules.longest:
            return replace(self, probe=None, probed_at=0)
        return self

    def allow(self, now: Now, rules: Rules = DEFAULT_RULES) -> int:
        """Return how many attempts may begin at `now`: `UNBOUNDED`, 1 (a probe) or 0."""
        if self.forced is not None:
            return UNBOUNDED if self.forced is Circuit.CLOSED else 0
        stands = self.at(now, rules)
        if stands.circuit is Circuit.CLOSED:
            return UNBOUNDED
        return int(stands.circuit is Circuit.HALF_OPEN and stands.probe is None)

    def begin(self, lease: Lease, now: Now, rules: Rules = DEFAULT_RULES) -> Breaker:
        """Return it after an attempt that it allows has begun."""
        stands = self.at(now, rules)
        if self.forced is not None or stands.circuit is not Circuit.HALF_OPEN:
            return stands
        return replace(stands, probe=lease, probed_at=now.wall)

    def record(self, call: Call, now: Now, rules: Rules = DEFAULT_RULES) -> Breaker:
        """Return it after an attempt has ended.

        Only the probe's end moves a half-open one; one that is closed counts no call that began before it closed:
        those say how the downstream was, not how it is.
        """
        stands = _wished(self.at(now, rules), call, now)
        if stands.circuit is Circuit.HALF_OPEN:
            return _tried(stands, call, now, rules) if call.lease == stands.probe else stands
        if stands.circuit is Circuit.OPEN:
            return replace(stands, until=max(stands.until, stands.wish))
        if call.failed is None or (call.began is not None and call.began < stands.since <= now.wall):
            return stands
        counted = replace(stands, parts=_counted(stands.parts, call, now, rules))
        tripped = _trips(counted.parts, rules) and self.forced is None
        return _opened(counted, now, rules) if tripped else counted

    def force(self, circuit: Circuit | None, now: Now, *, by: str = "", reason: str = "") -> Breaker:
        """Return it as an operator sets it: open or closed until told otherwise, or (None) as if it were new."""
        if circuit is Circuit.HALF_OPEN:
            raise ValueError("must be open, closed or reset")
        return Breaker(since=now.wall, forced=circuit, by=by, reason=reason)

    def shown(self, now: Now, rules: Rules = DEFAULT_RULES) -> Circuit:
        """Return where it stands at `now`, for those who look."""
        return self.at(now, rules).circuit if self.forced is None else self.forced

    def tries_at(self, now: Now, rules: Rules = DEFAULT_RULES) -> int | None:
        """Return when an open one is tried again, None if it is not open or an operator keeps it so."""
        stands = self.at(now, rules)
        return stands.until if self.forced is None and stands.circuit is Circuit.OPEN else None


NEW: Final = Breaker()


def _wished(breaker: Breaker, call: Call, now: Now) -> Breaker:
    if not call.failed or call.retry_after is None:
        return breaker
    wish = now.wall + min(max(call.retry_after, 0), LONGEST_WISH)
    return replace(breaker, wish=wish) if wish > breaker.wish else breaker


def _tried(breaker: Breaker, call: Call, now: Now, rules: Rules) -> Breaker:
    free = replace(breaker, probe=None, probed_at=0)
    if call.failed is None:
        return free
    if call.failed or call.slow:
        return _opened(free, now, rules)
    if breaker.good + 1 < rules.probes:
        return replace(free, good=breaker.good + 1)
    return Breaker(since=now.wall)


def _opened(breaker: Breaker, now: Now, rules: Rules) -> Breaker:
    wait = min(rules.first << min(breaker.trips, 32), rules.longest)
    until = breaker.wish if breaker.wish > now.wall else now.wall + wait
    return Breaker(Circuit.OPEN, now.wall, until, breaker.trips + 1, wish=breaker.wish)


def _recent(parts: Sequence[Part], now: Now, rules: Rules) -> tuple[Part, ...]:
    """Return the parts within the window; those ahead of a clock that was set back are gone."""
    place = now.wall // rules.width
    return tuple([part for part in parts if place - PARTS < part.place <= place])


def _counted(parts: Sequence[Part], call: Call, now: Now, rules: Rules) -> tuple[Part, ...]:
    recent = _recent(parts, now, rules)
    place = now.wall // rules.width
    *before, last = recent if recent and recent[-1].place == place else (*recent, Part(place))
    return (*before, Part(place, last.calls + 1, last.failed + bool(call.failed), last.slow + call.slow))


def totals(breaker: Breaker, now: Now, rules: Rules = DEFAULT_RULES) -> Part:
    """Return the calls within the window at `now`, together."""
    return _sum(_recent(breaker.parts, now, rules))


def _sum(parts: Sequence[Part]) -> Part:
    calls, failed, slow = (sum(getattr(part, name) for part in parts) for name in ("calls", "failed", "slow"))
    return Part(parts[-1].place if parts else 0, calls, failed, slow)


def _trips(parts: Sequence[Part], rules: Rules) -> bool:
    """Whether the window says that the downstream is not well.

    The 95th percentile (nearest rank) of the run times is beyond what is allowed exactly where the slow ones are more
    than what lies above that rank; so no run time has to be kept.
    """
    seen = _sum(parts)
    if seen.calls < rules.calls:
        return False
    above = seen.calls - -(-seen.calls * 95 // 100)
    return seen.failed >= rules.ratio * seen.calls or seen.slow > above


def to_form(breaker: Breaker) -> dict[str, Any]:
    """Return the JSON form, without what stands as it does in a new one."""
    form: dict[str, Any] = {}
    for name in Breaker.__dataclass_fields__:
        value = getattr(breaker, name)
        if value != getattr(NEW, name):
            form[name] = value
    if "parts" in form:
        form["parts"] = [[part.place, part.calls, part.failed, part.slow] for part in breaker.parts]
    return form


def from_form(form: Mapping[str, Any]) -> Breaker:
    """Return the breaker of a JSON form; what a later version may have added is left out."""
    known = {name: value for name, value in form.items() if name in Breaker.__dataclass_fields__}
    for name in ("circuit", "forced"):
        if known.get(name) is not None:
            known[name] = Circuit(known[name])
    if known.get("probe") is not None:
        known["probe"] = Lease(*known["probe"])
    if "parts" in known:
        known["parts"] = tuple(Part(*part) for part in known["parts"])
    return Breaker(**known)
