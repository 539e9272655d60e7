"""Retry arithmetic: the backoff policies and the graded profiles, as pure functions of a count and a chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

JITTER: Final = 0.1
LARGEST: Final = 1e9


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same wait every time: `delay` seconds, plus up to `jitter` of it."""

    delay: float = 1.0
    jitter: float = JITTER


@dataclass(frozen=True, slots=True)
class Linear:
    """`step` seconds more each time, at most `cap`, plus up to `jitter` of that."""

    step: float = 1.0
    cap: float = 60.0
    jitter: float = JITTER


@dataclass(frozen=True, slots=True)
class Exponential:
    """`min(base * factor ** n, cap)` seconds for the n-th retry (n from 0), with jitter.

    `jitter_mode`: `added` (default) adds up to `jitter` of the wait after the cap, so the bound is
    `(1 + jitter) * cap`; `capped` adds it and caps again; `full` picks evenly between 0 and the wait
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    base: float = 1.0
    cap: float = 60.0
    factor: float = 2.0
    jitter: float = JITTER
    jitter_mode: Literal["added", "capped", "full"] = "added"


Backoff = Fixed | Linear | Exponential


def exponential_backoff(
    retry_count: int, base_delay: float = 1.0, max_delay: float = 60.0, *, chance: float = 0.0
) -> float:
    """Return `min(base_delay * 2**retry_count, max_delay)` seconds plus up to 10 % jitter (`chance` in [0, 1))."""
    return delay(Exponential(base_delay, max_delay), retry_count, chance=chance)


def delay(policy: Backoff, retry_count: int, *, chance: float) -> float:
    """Return the wait in seconds before retry number `retry_count` (from 0); `chance` in [0, 1) chooses the jitter."""
    match policy:
        case Fixed():
            return policy.delay * (1.0 + policy.jitter * chance)
        case Linear():
            return min(policy.step * (retry_count + 1), policy.cap) * (1.0 + policy.jitter * chance)
        case Exponential():
            return _exponential(policy, retry_count, chance)


def _exponential(policy: Exponential, retry_count: int, chance: float) -> float:
    try:
        wait = min(policy.base * policy.factor**retry_count, policy.cap)
    except OverflowError:  # 2.0 ** 1024; every such wait is past any cap
        wait = policy.cap
    if policy.jitter_mode == "full":
        return wait * chance
    jittered = wait * (1.0 + policy.jitter * chance)
    return min(jittered, policy.cap) if policy.jitter_mode == "capped" else jittered


def backoff_to_dict(policy: Backoff) -> dict[str, Any]:
    """Return the wire form, e.g. `{"kind": "exponential", "base": 1.0, "cap": 60.0, …}` (seconds)."""
    match policy:
        case Fixed():
            return {"kind": "fixed", "delay": policy.delay, "jitter": policy.jitter}
        case Linear():
            return {"kind": "linear", "step": policy.step, "cap": policy.cap, "jitter": policy.jitter}
        case Exponential():
            form = {"kind": "exponential", "base": policy.base, "factor": policy.factor, "cap": policy.cap}
            return {**form, "jitter": policy.jitter, "jitter_mode": policy.jitter_mode}


def backoff_from_dict(form: dict[str, Any]) -> Backoff:
    """Return the policy of a wire form; raises `ValueError` that names the key that is wrong."""
    fields = dict(form)
    kind = fields.pop("kind", "exponential")
    makers: dict[str, type[Fixed | Linear | Exponential]] = {
        "fixed": Fixed,
        "linear": Linear,
        "exponential": Exponential,
    }
    if kind not in makers:
        message = f"backoff.kind must be one of fixed, linear, exponential; not {kind!r}"
        raise ValueError(message)
    try:
        policy = makers[kind](**fields)
    except TypeError:
        known = ", ".join(makers[kind].__dataclass_fields__)
        message = f"backoff of kind {kind} takes {known}"
        raise ValueError(message) from None
    check_backoff(policy)
    return policy


def check_backoff(policy: Backoff) -> None:
    """Raise `ValueError` naming the field if a number is negative, not finite or not a number."""
    for name in policy.__dataclass_fields__:
        value = getattr(policy, name)
        if name == "jitter_mode":
            if value not in ("added", "capped", "full"):
                message = "backoff.jitter_mode must be added, capped or full"
                raise ValueError(message)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
            message = f"backoff.{name} must be a number from 0 to 1e9"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Profile:
    """A named pair of `timeout` (seconds) and `retries`, for work of one grade."""

    timeout: float
    retries: int


PROFILES: Final[dict[str, Profile]] = {
    "quick": Profile(timeout=2.0, retries=2),
    "write": Profile(timeout=5.0, retries=3),
    "bulk": Profile(timeout=30.0, retries=1),
}
