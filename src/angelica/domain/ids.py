"""Task ids: three ways to make one, and the form that a client's own id must have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

IdStrategy = Literal["uuid7", "uuid4", "snowflake"]

ID_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
RESERVED_IDS: Final = frozenset({"batch", "calendar", "preview", "rehearse"})
SNOWFLAKE_EPOCH_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00:00Z
_NODES: Final = 1 << 10
_SEQUENCES: Final = 1 << 12


def check_id(text: str) -> str:
    """Return `text` if it may be an id, else raise `ValueError` saying what would be right."""
    if not isinstance(text, str) or not ID_FORM.fullmatch(text):  # type: ignore[redundant-expr]
        message = "must be 1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or a digit"
        raise ValueError(message)
    if text in RESERVED_IDS:
        message = f"{text!r} is reserved; choose another id"
        raise ValueError(message)
    return text


def uuid7(wall: int, bits: int) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7) of the moment `wall` (microseconds) and 62 `bits`."""
    tail = f"{(bits & 0x3FFFFFFFFFFFFFFF) | 0x8000000000000000:016x}"
    return f"{uuid7_head(wall)}{tail[:4]}-{tail[4:]}"


def uuid7_head(wall: int) -> str:
    """Return the part of a UUIDv7 that says its moment.

    The microseconds below the millisecond go into `rand_a` (method 3 of section 6.2).
    """
    ms, micros = divmod(wall, 1000)
    head = f"{ms:012x}"
    return f"{head[:8]}-{head[8:]}-7{(micros << 12) // 1000:03x}-"


class Uuid7:
    """Makes UUIDv7 that sort in the order in which one process made them, also within a microsecond.

    20 bits of a counter stand before 42 random bits (RFC 9562, section 6.2, method 1); `bits(n)` gives n random bits.
    """

    __slots__ = ("_bits", "_count", "_head", "_wall")

    def __init__(self, bits: Callable[[int], int]) -> None:
        self._bits = bits
        self._count = 0
        self._wall = -1
        self._head = ""

    def make(self, wall: int) -> str:
        """Return the next id for the moment `wall` (microseconds)."""
        if wall != self._wall:
            self._head = uuid7_head(wall)
            self._wall = wall
        self._count = count = (self._count + 1) & 0xFFFFF
        tail = f"{0x8000000000000000 | count << 42 | self._bits(42):016x}"
        return f"{self._head}{tail[:4]}-{tail[4:]}"


def uuid4(bits: int) -> str:
    """Return a UUIDv4 (RFC 9562, section 5.4) of 128 random `bits`."""
    bits = (bits & ~(0xF << 76)) | (0x4 << 76)
    bits = (bits & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{bits & ((1 << 128) - 1):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Snowflake:
    """Makes 63-bit ids of 41 bits of milliseconds, 10 of node and 12 of sequence, as decimal text (safe in JavaScript).

    A wall clock that steps back does not repeat an id: the last millisecond is kept until time catches up.
    """

    __slots__ = ("_last", "_node", "_sequence")

    def __init__(self, node: int) -> None:
        if not 0 <= node < _NODES:
            message = "node must be from 0 to 1023"
            raise ValueError(message)
        self._node = node
        self._last = 0
        self._sequence = 0

    def make(self, wall: int) -> str:
        """Return the next id for the moment `wall` (microseconds)."""
        ms = max(wall // 1000 - SNOWFLAKE_EPOCH_MS, self._last)
        if ms == self._last:
            self._sequence += 1
            if self._sequence == _SEQUENCES:  # all used in this millisecond: borrow from the next
                ms += 1
                self._sequence = 0
        else:
            self._sequence = 0
        self._last = ms
        return str((ms << 22) | (self._node << 12) | self._sequence)
