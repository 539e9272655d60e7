"""Lanes: what a ready task needs of a worker, as one text, so that a worker never walks over what it may not take.

A lane is the kind of executor, and beyond that what is required: `async;gpu=true,zone=a`. What a task needs of the
machine follows, as it is counted (`domain.resources`): `command;@cpu=2000,memory=4000000000`. Where a worker has met a
function that it does not know, the lane names it: `async;!mail.send`, and only workers that know it look there. In a
queue that is fair each tenant has a lane: `async;~acme`. This
text stands where the kind of executor stood, in the index of what is ready, so tasks that require nothing cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from angelica.domain.reasons import NO_CAPABLE_WORKER, NO_WORKER_FITS, UNKNOWN_FUNCTION
from angelica.domain.resources import NOTHING_TAKEN, UNBOUNDED, Amount, Capacity, Resources, amount_of

AFTER: Final = "<"
"""Comes after `;` in the order of texts: the lanes of a kind are those from `kind` up to `kind<`."""


_LONGEST: Final = 200


class Needs(NamedTuple):
    """What a lane says."""

    kind: str
    labels: tuple[tuple[str, str], ...]
    function: str | None
    tenant: str | None = None
    amount: Amount = NOTHING_TAKEN


class Offer(NamedTuple):
    """What a worker has; no `kinds` of executor where those are not known."""

    labels: Mapping[str, str]
    functions: Collection[str]
    capacity: Capacity = UNBOUNDED
    kinds: Collection[str] = ()


def lane_of(kind: str, requires: Mapping[str, str], resources: Resources | None = None) -> str:
    """Return the lane of a task that requires these labels and this much of a machine."""
    labels = ",".join([f"{name}={value}" for name, value in sorted(requires.items())])
    amount = amount_of(resources) if resources else NOTHING_TAKEN
    sizes = ",".join([f"{name}={size}" for name, size in amount._asdict().items() if size])
    rest = f"{labels}@{sizes}" if sizes else labels
    return f"{kind};{rest}" if rest else kind


def known_lane(lane: str, function: str) -> str:
    """Return the lane of a task that only workers that know its function may look at."""
    if "!" in lane:
        return lane
    return f"{lane}!{function}" if ";" in lane else f"{lane};!{function}"


def tenant_lane(lane: str, tenant: str) -> str:
    """Return the lane of a tenant's task in a fair queue; one that has a tenant keeps it.

    The name is written so that it has no sign that a lane has, and short enough for every index.
    """
    if needs_of(lane).tenant is not None:
        return lane
    name = "".join(map(_written, tenant))
    if len(name) > _LONGEST:
        name = sha256(name.encode()).hexdigest()
    base, named, function = lane.partition("!")
    return f"{base}{'' if ';' in base else ';'}~{name}{named}{function}"


def _written(sign: str) -> str:
    return sign if sign.isascii() and (sign.isalnum() or sign in "._-") else f"%{ord(sign):x}."


def kind_of(lane: str) -> str:
    """Return the kind of executor of a lane."""
    return lane.partition(";")[0]


@lru_cache(maxsize=4096)
def needs_of(lane: str) -> Needs:
    """Return what a lane says."""
    kind, _, rest = lane.partition(";")
    rest, named, function = rest.partition("!")
    rest, shared, tenant = rest.partition("~")
    labels, _, sizes = rest.partition("@")
    amount = Amount(**{name: int(size) for name, size in _pairs(sizes)})
    return Needs(kind, tuple(_pairs(labels)), function if named else None, tenant if shared else None, amount)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in [part.partition("=") for part in text.split(",") if part]]


def may_take(lane: str, offer: Offer) -> bool:
    """Whether a worker has all that a lane needs, as if nothing ran in it."""
    if ";" not in lane:
        return True
    needs = needs_of(lane)
    return _is_capable(needs, offer) and (needs.amount == NOTHING_TAKEN or _is_large_enough(needs, offer))


def _is_capable(needs: Needs, offer: Offer) -> bool:
    """Whether a worker has the labels and the code."""
    if any(offer.labels.get(name) != value for name, value in needs.labels):
        return False
    return needs.function is None or needs.function in offer.functions


def _is_large_enough(needs: Needs, offer: Offer) -> bool:
    return (not offer.kinds or needs.kind in offer.kinds) and offer.capacity.times(needs.amount) > 0


def unmet(lane: str, offers: Iterable[Offer]) -> str | None:
    """Return the rule that holds a lane back because no worker may take it, None if one may.

    Without any worker nothing is too large, and a kind of executor that none has is none of these rules.
    """
    known = list(offers)
    if ";" not in lane or any(may_take(lane, offer) for offer in known):
        return None
    needs = needs_of(lane)
    capable = [offer for offer in known if _is_capable(needs, offer)]
    if any(not offer.kinds or needs.kind in offer.kinds for offer in capable):
        return NO_WORKER_FITS
    if capable or not (needs.labels or needs.function is not None):
        return None
    unknown = needs.function is not None and not any(needs.function in offer.functions for offer in known)
    return UNKNOWN_FUNCTION if unknown else NO_CAPABLE_WORKER
