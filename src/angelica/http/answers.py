"""Answers: what a handler returns, and how it goes out over ASGI with the headers that every answer carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.types import Send

JSON: Final = b"application/json"
_ENCODER: Final = msgspec.json.Encoder()
encode = _ENCODER.encode

# What every answer carries, errors and pages too: the pages load nothing from elsewhere and run no inline script.
SECURITY: Final[tuple[tuple[bytes, bytes], ...]] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        ),
    ),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_BODILESS: Final = frozenset({204, 304})
NO_STORE: Final = (b"cache-control", b"no-store")


@dataclass(slots=True)
class Answer:
    """One answer: `body` is the whole text, or an iterator of its pieces (a stream)."""

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    media: bytes = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def raw_headers(self, extra: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return all headers of this answer as ASGI wants them."""
        raw = [*SECURITY, *extra]
        if isinstance(self.body, bytes):
            if self.status not in _BODILESS:
                raw.append((b"content-length", b"%d" % len(self.body)))
                if self.body:
                    raw.append((b"content-type", self.media))
        else:
            raw.append((b"content-type", self.media))
        if not self.headers:
            raw.append(NO_STORE)
            return raw
        raw += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        if "Cache-Control" not in self.headers:
            raw.append(NO_STORE)
        return raw


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return `value` (anything that msgspec encodes) as a JSON answer."""
    return Answer(status, encode(value), JSON, dict(headers) if headers else {})


async def send_answer(answer: Answer, send: Send, extra: list[tuple[bytes, bytes]], *, head: bool) -> None:
    """Send an answer; for HEAD without its body."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.raw_headers(extra)})
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": b"" if head else answer.body})
        return
    if not head:
        async for piece in answer.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
