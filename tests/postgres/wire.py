"""As much of PostgreSQL's protocol as tells which statement a request runs, and when its answer is complete."""

from __future__ import annotations

import struct
from collections.abc import Iterator

STARTUP = 196_608
PLAIN_ANSWERS = {80_877_103, 80_877_104}  # may we encrypt (TLS, GSS)? The answer is one letter


class Requests:
    """What a client sends: feed it bytes, get the text of each statement that is run with them."""

    def __init__(self, replies: Replies) -> None:
        self._buffer = b""
        self._typed = False
        self._statements: dict[bytes, bytes] = {}
        self._portals: dict[bytes, bytes] = {}
        self._replies = replies

    def feed(self, data: bytes) -> list[str]:
        self._buffer += data
        run = []
        while (message := self._next()) is not None:
            text = self._run_by(*message)
            if text is not None:
                run.append(text.decode("utf-8", "replace"))
        return run

    def _next(self) -> tuple[bytes, bytes] | None:
        if self._typed:
            message, self._buffer = cut_message(self._buffer)
            return message
        if len(self._buffer) < 8:
            return None
        length, code = struct.unpack("!II", self._buffer[:8])
        if len(self._buffer) < length:
            return None
        self._buffer = self._buffer[length:]
        self._typed = code == STARTUP
        self._replies.letters += code in PLAIN_ANSWERS
        return b"", b""

    def _run_by(self, kind: bytes, body: bytes) -> bytes | None:
        if kind == b"Q":
            return body.rstrip(b"\0")
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._statements[name] = text
        elif kind == b"B":
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._statements.get(name, b"")
        elif kind == b"E":
            return self._portals.get(body.split(b"\0", 1)[0], b"")
        return None


class Replies:
    """What a server sends: feed it bytes, learn whether it is now ready for the next request."""

    def __init__(self) -> None:
        self.letters = 0
        self._buffer = b""

    def feed(self, data: bytes) -> bool:
        self._buffer += data
        skipped = min(self.letters, len(self._buffer))
        self.letters -= skipped
        self._buffer = self._buffer[skipped:]
        return any(kind == b"Z" for kind in self._kinds())

    def _kinds(self) -> Iterator[bytes]:
        while True:
            message, self._buffer = cut_message(self._buffer)
            if message is None:
                return
            yield message[0]


def cut_message(buffer: bytes) -> tuple[tuple[bytes, bytes] | None, bytes]:
    """The first whole message of a buffer, its kind and body, and the rest of the buffer."""
    if len(buffer) < 5:
        return None, buffer
    (length,) = struct.unpack("!I", buffer[1:5])
    if len(buffer) < length + 1:
        return None, buffer
    return (buffer[:1], buffer[5 : length + 1]), buffer[length + 1 :]
