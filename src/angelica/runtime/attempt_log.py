"""The log of one attempt as it grows: what is taken, what is cut, and exactly what is dropped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from angelica.clock import SECOND, Now
from angelica.domain.value import maker
from angelica.plain import one_line_end, plain, utf8_length, without_surrogates
from angelica.storage.protocol import LogLine

LINE_COST: Final = 64
"""What a line costs of the rate beyond its text, in bytes: a flood of empty lines is a flood."""

ENTRY_COST: Final = 120
"""What a buffered line takes of memory beside its message, in bytes."""

# Characters kept beyond the limit of a line until it is cut, so that a secret on the edge is still seen whole.
_SECRET_ROOM: Final = 512

_line: Final = maker(LogLine)

Entry = tuple[int, str, str, str, str]  # at, stream, level, logger, message


@dataclass(frozen=True, slots=True)
class LogLimits:
    """What one attempt may write.

    `limit` bytes of text and `lines` lines in all; `line_limit` bytes a line; `rate` bytes a second after a `burst`;
    `buffer` bytes of memory not yet handed to the store. `scrub` takes secrets out of a line.
    """

    limit: int
    lines: int
    line_limit: int
    rate: int
    burst: int
    buffer: int
    scrub: Callable[[str], str] | None = None


@dataclass(slots=True)
class Tally:
    """How many lines, and how many bytes of their text (UTF-8, without line ends)."""

    lines: int = 0
    size: int = 0

    def add(self, lines: int, size: int) -> None:
        """Count more."""
        self.lines += lines
        self.size += size


class Part:
    """A line whose end has not come yet: as much of it as can be stored, and the exact size of the whole."""

    __slots__ = ("after_return", "kept", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.kept = 0
        self.size = 0
        self.after_return = False

    def append(self, text: str, limits: LogLimits) -> None:
        """Take more of the line."""
        room = limits.line_limit + _SECRET_ROOM - self.kept
        if room > 0:
            self.pieces.append(text[:room])
            self.kept += len(text[:room])
        self.size += utf8_length(text)

    def take(self, limits: LogLimits) -> tuple[str, int]:
        """Return the message to store and the size of the whole line, and begin the next line."""
        text, size = "".join(self.pieces), self.size
        self.pieces = []
        self.kept = self.size = 0
        return _message(text, size, limits), size


class AttemptLog:
    """One attempt's log. Not thread-safe: the journal holds its lock around every call.

    `stored` tallies the lines taken and their text as stored; `dropped` the lines that came and were not taken, by
    reason; `cut` the lines that were shortened and the bytes they had beyond the limit.
    """

    __slots__ = (
        "_full", "_reason", "_refilled", "_tokens", "attempt", "buffer", "cut", "dropped", "held", "limits", "parts",
        "seq", "stored", "task_id", "unsent",
    )  # fmt: skip

    def __init__(self, task_id: str, attempt: int, limits: LogLimits, now: Now) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.limits = limits
        self.buffer: list[Entry] = []
        self.unsent: list[LogLine] = []
        self.held = 0
        self.seq = 0
        self.parts: dict[str, Part] = {}
        self.stored = Tally()
        self.cut = Tally()
        self.dropped: dict[str, Tally] = {}
        self._full: str | None = None
        self._reason = ""
        self._tokens = limits.burst * SECOND
        self._refilled = now.tick

    def add(self, message: str, size: int, meta: tuple[str, str, str], now: Now, room: int) -> bool:
        """Take one finished line that came with `size` bytes, or count it as dropped.

        `room` is the memory that all attempts together still have.
        """
        stored = len(message) if message.isascii() else utf8_length(message)
        memory = sys.getsizeof(message) + ENTRY_COST
        reason = self._refusal(stored, memory, now, room)
        if reason is not None:
            self.drop(reason, 1, size)
            return False
        self._tokens -= (stored + LINE_COST) * SECOND
        self.held += memory
        self.stored.add(1, stored)
        if size > self.limits.line_limit:
            self.cut.add(1, size - self.limits.line_limit)
        # The number comes when the line leaves the buffer: nothing can then come between a number and its place.
        self.buffer.append((now.wall, *meta, message))
        return True

    def feed(self, part: Part, block: str, meta: tuple[str, str, str], now: Now, room: int) -> None:
        """Take the lines that end in `block`; what follows the last line end stays in `part`.

        Once a line is dropped, so is every other line that ends in this block: a flood is counted, not walked.
        """
        torn = part.after_return and block.startswith("\n")
        part.after_return = block.endswith("\r") if block else part.after_return
        if torn:
            block = block[1:]  # the second half of a \r\n that was torn apart
        block = one_line_end(block)
        start, held = 0, self.held
        while (end := block.find("\n", start)) >= 0:
            part.append(block[start:end], self.limits)
            message, size = part.take(self.limits)
            start = end + 1
            if not self.add(message, size, meta, now, room - self.held + held):
                start = self._skip(block, start)
                break
        if start < len(block):
            part.append(block[start:], self.limits)

    def finish(self, part: Part, meta: tuple[str, str, str], now: Now, room: int) -> None:
        """Take what `part` holds as a line, although no line end came."""
        message, size = part.take(self.limits)
        self.add(message, size, meta, now, room)

    def take(self) -> list[LogLine]:
        """Empty the buffer: return its lines, numbered on, after those that were given back."""
        buffer, self.buffer, self.held = self.buffer, [], 0
        unsent, self.unsent = self.unsent, []
        first, self.seq = self.seq + 1, self.seq + len(buffer)
        task_id, attempt = self.task_id, self.attempt
        return unsent + [
            _line(task_id, attempt, seq, at, stream, level, logger, message)
            for seq, (at, stream, level, logger, message) in enumerate(buffer, first)
        ]

    def give_back(self, line: LogLine) -> None:
        """Keep a line that the store could not take; lines come back in their order, before any is taken again."""
        self.unsent.append(line)
        self.held += sys.getsizeof(line.message) + ENTRY_COST

    def note(self, now: Now) -> LogLine | None:
        """Return the last line, which says what was dropped, or None if nothing was."""
        if not self.dropped:
            return None
        self.seq += 1
        said = "; ".join(f"{_counted(tally)} dropped: {reason}" for reason, tally in self.dropped.items())
        return _line(self.task_id, self.attempt, self.seq, now.wall, "note", "WARNING", "", f"… {said}")

    def drop(self, reason: str, lines: int, size: int) -> None:
        """Count lines that are not taken."""
        self._reason = reason
        tally = self.dropped.get(reason)
        if tally is None:
            tally = self.dropped[reason] = Tally()
        tally.add(lines, size)

    def refuse(self, reason: str) -> Tally:
        """Take nothing more; return the tally that counts what still comes."""
        self._full = reason
        return self.dropped.setdefault(reason, Tally())

    def _skip(self, block: str, start: int) -> int:
        """Drop all whole lines from `start` on; return where the last, unfinished one begins."""
        end = block.rfind("\n", start) + 1
        if end:
            lines = block.count("\n", start, end)
            self.drop(self._reason, lines, utf8_length(block[start:end]) - lines)
        return max(end, start)

    def _refusal(self, stored: int, memory: int, now: Now, room: int) -> str | None:
        if self._full is not None:
            return self._full
        limits = self.limits
        if self.stored.size + stored > limits.limit:
            self._full = f"over the limit of {_size(limits.limit)}"
        elif self.stored.lines >= limits.lines:
            self._full = f"over the limit of {limits.lines:,} lines"
        if self._full is not None:
            # Nothing after the first line that does not fit: what is stored is the beginning, not a sieve of the rest.
            return self._full
        if memory > min(limits.buffer - self.held, room):
            return "faster than the store takes them"
        elapsed = max(now.tick - self._refilled, 0)
        self._refilled = now.tick
        self._tokens = min(self._tokens + elapsed * limits.rate, limits.burst * SECOND)
        if (stored + LINE_COST) * SECOND > self._tokens:
            return f"faster than {_size(limits.rate)} a second"
        return None


def _message(text: str, size: int, limits: LogLimits) -> str:
    """Return a line as it is stored: without secrets, cut to the limit with a marker, plain."""
    if limits.scrub is not None:
        text = limits.scrub(text)
    if size > limits.line_limit:
        text = without_surrogates(text).encode()[: limits.line_limit].decode("utf-8", "ignore")
        text += f" … [cut: the line has {size:,} bytes]"
    return plain(text)


def _counted(tally: Tally) -> str:
    return f"{tally.lines:,} line{'' if tally.lines == 1 else 's'} ({tally.size:,} bytes)"


def _size(count: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} bytes"
