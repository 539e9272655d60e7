"""The black box: two shared files of a warm child that its worker can still read when the child is dead.

One is a page for words that must not wait for anybody to read a stream: what the worker says to stop an attempt, and
the last lines that the attempt wrote. The other takes the stack that `faulthandler` writes at a fatal signal.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import Final

from angelica.plain import plain_lines

_STOP: Final = struct.Struct("<QI")  # which assignment, length of the text; the text follows
_TEXT_LIMIT: Final = 4096 - _STOP.size
_TAIL: Final = struct.Struct("<QQ")  # bytes written so far, and how many of them before the attempt
_TAIL_AT: Final = 4096
_RING_AT: Final = _TAIL_AT + _TAIL.size
_RING: Final = 8192
_SIZE: Final = _RING_AT + _RING
_STACK_LIMIT: Final = 16_384
_LINE_LIMIT: Final = 1_000


class BlackBox:
    """Both files, in the worker (`make`) or in the child (`inherit`)."""

    def __init__(self, words: int, faults: int) -> None:
        self.words = words
        self.faults = faults
        self._page = mmap.mmap(words, _SIZE)

    @classmethod
    def make(cls) -> BlackBox:
        """Make both files; they have no name and go with their last descriptor."""
        words, faults = _nameless(), _nameless()
        os.ftruncate(words, _SIZE)
        return cls(words, faults)

    def close(self) -> None:
        """Let go of both."""
        self._page.close()
        os.close(self.words)
        os.close(self.faults)

    # -- the word to stop -------------------------------------------------------------------------------------------

    def say_stop(self, seq: int, reason: str, message: str) -> None:
        """Tell the child to stop assignment `seq`; a signal makes it look."""
        text = f"{reason}\n{message}".encode("utf-8", "replace")[:_TEXT_LIMIT]
        self._page[_STOP.size : _STOP.size + len(text)] = text
        _STOP.pack_into(self._page, 0, seq, len(text))

    def hear_stop(self, seq: int) -> tuple[str, str] | None:
        """Return reason and message if assignment `seq` shall stop."""
        said, length = _STOP.unpack_from(self._page, 0)
        if said != seq:
            return None
        text = self._page[_STOP.size : _STOP.size + length].decode("utf-8", "ignore")
        reason, _, message = text.partition("\n")
        return reason, message

    # -- the last lines ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """An attempt begins: what was written before it is no longer of interest."""
        written, _ = _TAIL.unpack_from(self._page, _TAIL_AT)
        _TAIL.pack_into(self._page, _TAIL_AT, written, written)

    def keep(self, text: str) -> None:
        """Keep the end of what the attempt writes."""
        data = text[-_RING:].encode("utf-8", "replace")[-_RING:]
        written, begun = _TAIL.unpack_from(self._page, _TAIL_AT)
        at = written % _RING
        first = data[: _RING - at]
        self._page[_RING_AT + at : _RING_AT + at + len(first)] = first
        rest = data[len(first) :]
        self._page[_RING_AT : _RING_AT + len(rest)] = rest
        _TAIL.pack_into(self._page, _TAIL_AT, written + len(data), begun)

    def last_lines(self, count: int) -> list[str]:
        """Return the last lines of the attempt, each plain and not too long."""
        written, begun = _TAIL.unpack_from(self._page, _TAIL_AT)
        size = min(max(written - begun, 0), _RING)
        at = written % _RING
        ring = self._page[_RING_AT : _RING_AT + _RING]
        data = (ring[at:] + ring[:at])[_RING - size :]
        lines = [line for line in plain_lines(data.decode("utf-8", "replace")) if line.strip()]
        return [line[:_LINE_LIMIT] for line in lines[-count:]]

    # -- the stack --------------------------------------------------------------------------------------------------

    def stack(self) -> str:
        """Return what `faulthandler` wrote, empty if nothing."""
        return os.pread(self.faults, _STACK_LIMIT, 0).decode("utf-8", "replace").replace("\x00", "")


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("angelica-child")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
