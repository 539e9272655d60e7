"""What the caller would like: the Prefer header (RFC 7240) and the choice of a media type by Accept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from angelica.http.problems import HttpProblem
from angelica.http.query import MAX_WAIT

_DIGITS: Final = 9
_PREFERENCE: Final = re.compile(r'\s*([A-Za-z-]+)\s*(?:=\s*"?([^",;\s]*)"?)?[^,]*')


@dataclass(frozen=True, slots=True)
class Prefer:
    """The preferences that we know. `wait` is whole seconds, at most 60."""

    wait: int | None = None
    respond_async: bool = False
    minimal: bool = False

    def applied(self) -> dict[str, str]:
        """Return the `Preference-Applied` header, if there is something to say."""
        parts = []
        if self.respond_async:
            parts.append("respond-async")
        if self.wait is not None:
            parts.append(f"wait={self.wait}")
        if self.minimal:
            parts.append("return=minimal")
        return {"Preference-Applied": ", ".join(parts)} if parts else {}


NONE: Final = Prefer()


def read_prefer(header: str | None) -> Prefer:
    """Return the preferences of a header; what is unknown or malformed is ignored, as RFC 7240 asks."""
    if not header:
        return NONE
    found: dict[str, str] = {}
    for part in header[:1000].split(","):
        if match := _PREFERENCE.fullmatch(part):
            found.setdefault(match[1].lower(), match[2] or "")
    wait = found.get("wait", "")
    seconds = min(int(wait), MAX_WAIT) if wait.isascii() and wait.isdigit() and len(wait) <= _DIGITS else None
    return Prefer(seconds, "respond-async" in found, found.get("return", "").lower() == "minimal")


def choose(accept: bytes | None, offers: Sequence[bytes]) -> bytes:
    """Return the offer that `Accept` likes best (the first one among equals); 406 if it takes none."""
    if not accept or accept == b"*/*":
        return offers[0]
    best, best_weight = None, 0.0
    for offer in offers:
        weight = _weight(accept, offer)
        if weight > best_weight:
            best, best_weight = offer, weight
    if best is None:
        detail = "offered: " + ", ".join(offer.decode() for offer in offers)
        raise HttpProblem("not-acceptable", detail)
    return best


def _weight(accept: bytes, offer: bytes) -> float:
    """The q of the most exact range that covers `offer`."""
    kind = offer.partition(b"/")[0]
    exactness, weight = 0, 0.0
    for part in accept.lower().split(b","):
        media, *parameters = (piece.strip() for piece in part.split(b";"))
        rank = 3 if media == offer else 2 if media == kind + b"/*" else 1 if media == b"*/*" else 0
        if rank > exactness:
            exactness, weight = rank, _quality(parameters)
    return weight


def _quality(parameters: Sequence[bytes]) -> float:
    for parameter in parameters:
        if parameter.startswith(b"q="):
            try:
                return min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
