"""The output of a command as lines: bounded in length, in rate and in all; what is dropped is counted exactly."""

from __future__ import annotations

from typing import Final, NamedTuple

LINE_COST: Final = 64
"""What a line costs beyond its text, in bytes: a flood of empty lines is a flood."""

_MARK_ROOM: Final = 64
_MICROS: Final = 1_000_000


class OutputLimits(NamedTuple):
    """What a command may write: bytes a line, bytes in all, bytes a second after a burst of bytes."""

    line: int = 16 << 10
    total: int = 64 << 20
    rate: int = 2 << 20
    burst: int = 8 << 20


class Budget:
    """What both streams of a command may still pass on; moments are microseconds of a clock that never jumps."""

    def __init__(self, limits: OutputLimits, now: int) -> None:
        self.limits = limits
        self._left = limits.total
        self._tokens = limits.burst * _MICROS
        self._refilled = now

    def take(self, size: int, now: int) -> bool:
        """Take a line of `size` bytes from the budget; return whether there was room for it."""
        cost = size + LINE_COST
        self._tokens = min(self._tokens + (now - self._refilled) * self.limits.rate, self.limits.burst * _MICROS)
        self._refilled = now
        if cost > self._left or cost * _MICROS > self._tokens:
            return False
        self._left -= cost
        self._tokens -= cost * _MICROS
        return True


class LineStream:
    r"""One output stream. A line ends with `\n`, `\r\n` or `\r`: a progress bar is shown as it moves.

    `dropped_lines` and `dropped_bytes` (without line ends) tell exactly what was not passed on.
    """

    def __init__(self, budget: Budget) -> None:
        self.dropped_lines = 0
        self.dropped_bytes = 0
        self._budget = budget
        self._kept = bytearray()
        self._size = 0
        self._after_return = False

    def feed(self, data: bytes, now: int) -> list[str]:
        """Take what was read; return the lines to pass on.

        Once a line is dropped, so is every other line that ends in `data`: a flood is counted, not walked.
        """
        torn = self._after_return and data.startswith(b"\n")
        self._after_return = data.endswith(b"\r") if data else self._after_return
        if torn:
            data = data[1:]  # the second half of a \r\n that was torn apart
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines: list[str] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._append(data[start:end])
            start = end + 1
            line = self._finish(now)
            if line is None:
                start = self._skip(data, start)
                break
            lines.append(line)
        self._append(data[start:])
        return lines

    def close(self, now: int) -> list[str]:
        """Return what came without a line end as the last line."""
        line = self._finish(now) if self._size else None
        return [] if line is None else [line]

    def _append(self, data: bytes) -> None:
        room = self._budget.limits.line - len(self._kept)
        if room > 0:
            self._kept += data[:room]
        self._size += len(data)

    def _finish(self, now: int) -> str | None:
        kept, size, line_limit = bytes(self._kept), self._size, self._budget.limits.line
        self._kept.clear()
        self._size = 0
        if not self._budget.take(len(kept), now):
            self.dropped_lines += 1
            self.dropped_bytes += size
            return None
        if size <= line_limit:
            return kept.decode("utf-8", "replace")
        # With its mark it is still no longer than the limit: whoever bounds it next does not cut it again.
        text = kept[: max(line_limit - _MARK_ROOM, 0)].decode("utf-8", "ignore")
        return f"{text} … [cut: the line has {size:,} bytes]"

    def _skip(self, data: bytes, start: int) -> int:
        """Drop all whole lines from `start` on; return where the last, unfinished one begins."""
        end = data.rfind(b"\n", start) + 1
        if end:
            lines = data.count(b"\n", start, end)
            self.dropped_lines += lines
            self.dropped_bytes += end - start - lines
        return max(end, start)
