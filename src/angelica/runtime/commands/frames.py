"""Frames: JSON objects on a stream socket, each behind its length in four bytes."""

from __future__ import annotations

import json
import socket
from typing import Any, Final

HEADER: Final = 4
LONGEST: Final = 16 << 20
"""Bytes of a frame; a longer one is no frame of ours."""


class BadFrame(Exception):
    """What came is no frame."""


def pack(message: dict[str, Any]) -> bytes:
    """Return a message as a frame."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > LONGEST:
        raise BadFrame(f"a frame of {len(body):,} bytes")
    return len(body).to_bytes(HEADER, "big") + body


def body_length(header: bytes) -> int:
    """Return how many bytes come after a header; raises `BadFrame`."""
    length = int.from_bytes(header, "big")
    if length > LONGEST:
        raise BadFrame(f"a frame of {length:,} bytes")
    return length


def unpack(body: bytes) -> dict[str, Any]:
    """Return the message of a frame's body; raises `BadFrame`."""
    try:
        message = json.loads(body)
    except ValueError as error:
        raise BadFrame(str(error)) from None
    if not isinstance(message, dict):
        raise BadFrame("a frame that is no object")
    return message


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """Return the next message of a blocking socket, None at its end; raises `BadFrame`."""
    header = _exactly(channel, HEADER)
    body = None if header is None else _exactly(channel, body_length(header))
    return None if body is None else unpack(body)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        more = channel.recv(count - len(data))
        if not more:
            return None
        data += more
    return bytes(data)
