"""The journal: takes what running attempts write, bounds it, and hands it to the store in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from angelica.clock import Clock, Now
from angelica.current import Running
from angelica.domain.task import Lease
from angelica.plain import plain, utf8_length
from angelica.runtime.attempt_log import AttemptLog, LogLimits, Part, Tally
from angelica.storage.protocol import LogLine

WAKE_AT: Final = 1000
"""So many buffered lines call `on_pending`."""

_BLOCK: Final = 65_536  # characters taken under one hold of the lock
_NAME_LIMIT: Final = 200  # characters of a logger's name


class Journal:
    """The `LineSink` of a worker. Any thread may write; it never blocks on anything slow and never raises.

    An attempt that writes nothing costs nothing: its `log` stays None. Limits, per attempt: `limit` bytes of text
    and `lines` lines in all; `line_limit` bytes a line (cut, with a marker that gives the size of the whole);
    `rate` bytes a second after a `burst`, each line counting 64 bytes more than its text; `buffer` bytes of memory
    not yet drained, and twice that for all attempts together. What goes beyond is dropped and counted exactly, and
    the last line of the attempt says so. `scrub` takes secrets out of each line before it is kept.

    `on_pending`, if set, is called on the thread that writes, once 1,000 lines wait to be drained, or once one does
    after a `rest`. Tallies over all attempts: `dropped` beyond a limit (known when the attempt ends), `late` after the
    end, `stale` refused by the store. `errors` counts writes that failed inside: always 0 unless something is broken.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        limit: int = 10 << 20,
        lines: int = 200_000,
        line_limit: int = 16 << 10,
        rate: int = 1 << 20,
        burst: int = 4 << 20,
        buffer: int = 8 << 20,
        scrub: Callable[[str], str] | None = None,
    ) -> None:
        self.on_pending: Callable[[], None] | None = None
        self.dropped = Tally()
        self.stale = Tally()
        self.errors = 0
        self._clock = clock
        self._limits = LogLimits(limit, lines, line_limit, rate, burst, buffer, scrub)
        self._room = 2 * buffer
        self._quick = line_limit // 4  # so many characters are never more than the limit in bytes
        self._pending = 0
        self._rung = False
        self._resting = False
        self._open: dict[Lease, AttemptLog] = {}
        self._dirty: dict[AttemptLog, None] = {}
        # Re-entrant: a finalizer that prints may run on this very thread while it holds the lock.
        self._lock = threading.RLock()
        # What every ended attempt writes to: a log that takes nothing and counts.
        self._ended = AttemptLog("", 0, self._limits, Now(0, 0, ""))
        self.late = self._ended.refuse("late")

    @property
    def pending(self) -> int:
        """How many lines wait to be drained."""
        return self._pending

    def rest(self) -> bool:
        """Say that nobody looks before `on_pending` is called for the next line; False if one waits already."""
        with self._lock:
            self._resting = not self._dirty
        return self._resting

    def write(self, running: Running, stream: str, level: str, logger: str, message: str | bytes) -> None:
        r"""Record `message` of `running` as one line, or as several where it holds `\n`, `\r\n` or `\r`.

        Bytes are read as UTF-8, what is not UTF-8 becomes U+FFFD. After the end of the attempt lines are only counted.
        """
        try:
            text = message if isinstance(message, str) else message.decode("utf-8", "replace")
            if not logger.isprintable() or len(logger) > _NAME_LIMIT:
                logger = plain(logger[:_NAME_LIMIT])
            meta = (stream, level, logger)
            if len(text) <= self._quick and text.isprintable():
                self._write_plain(running, meta, text)
            else:
                self._write_blocks(running, meta, text)
        except Exception:  # noqa: BLE001 - what a task prints must not break it; the count says that it happened
            self.errors += 1
        self._ring()

    def feed(self, running: Running, stream: str, text: str) -> None:
        """Take raw text of an output stream: a line is recorded when its end comes, the rest by `close`."""
        try:
            self._feed_blocks(running, stream, text)
        except Exception:  # noqa: BLE001 - as above
            self.errors += 1
        self._ring()

    def take_over(self, running: Running, lines: Iterable[tuple[int, str, str, str, str]]) -> None:
        """Record lines that another process has taken: moment (wall microseconds), stream, level, logger, message."""
        try:
            now = self._clock.now()
            with self._lock:
                log = self._log(running, now)
                count, held = len(log.buffer), log.held
                for at, stream, level, logger, message in lines:
                    meta = (stream[:_NAME_LIMIT], level[:_NAME_LIMIT], plain(logger[:_NAME_LIMIT]))
                    text = plain(message)  # it is said to be, but by a process that runs the user's code
                    room = self._room - log.held + held
                    log.add(text, utf8_length(text), meta, now._replace(wall=at), room)
                self._account(log, count, held)
        except Exception:  # noqa: BLE001 - as above
            self.errors += 1
        self._ring()

    def scrubbed(self, text: str) -> str:
        """Return a line without secrets, as it would be stored."""
        scrub = self._limits.scrub
        return plain(text if scrub is None else scrub(text))

    def drop(self, running: Running, reason: str, lines: int, size: int) -> None:
        """Count lines, with `size` bytes of text, that were dropped before they came here; the last line says so."""
        with self._lock:
            log = self._log(running, self._clock.now())
            if log is self._ended:
                self.late.add(lines, size)
            else:
                log.drop(reason, lines, size)

    def drain(self) -> list[LogLine]:
        """Return all buffered lines of running attempts, in order within each attempt, and forget them.

        They must reach the store before the completion of their attempt, or it refuses them as stale: hand them to
        the same `exchange`, or let `append_logs` end before the next one. If the store fails, `give_back`.
        """
        with self._lock:
            lines = [line for log in list(self._dirty) for line in self._take(log)]
            self._rung = False
        return lines

    def close(self, running: Running) -> list[LogLine]:
        """End the log of an attempt: return what is left of it, and a note if lines were dropped.

        Call it for every attempt, also where `running.log` is None: from now on the attempt takes no line, and what
        threads that outlive it still write is counted in `late`. Closing again returns nothing.
        """
        if running.log is None:  # nearly every attempt: no line, no lock
            running.log = self._ended
            return []
        with self._lock:
            log, running.log = running.log, self._ended
            if not isinstance(log, AttemptLog) or log is self._ended:
                return []
            now = self._clock.now()
            for stream, part in log.parts.items():
                if part.size:
                    count, held = len(log.buffer), log.held
                    log.finish(part, (stream, "", ""), now, self._room)
                    self._account(log, count, held)
            lines = self._take(log)
            note = log.note(now)
            stands = self._open.pop(Lease(log.task_id, log.attempt), None) is not None
            for tally in log.dropped.values():
                (self.dropped if stands else self.stale).add(tally.lines, tally.size)
            if note is not None and stands:
                lines.append(note)
        return lines

    def give_back(self, lines: Iterable[LogLine]) -> None:
        """Take back drained lines that the store could not take, before anything is drained again.

        They keep their numbers and come first with the next `drain` or `close`; lines of attempts that have ended
        meanwhile can no longer be stored and count as `stale`.
        """
        with self._lock:
            for line in lines:
                log = self._open.get(Lease(line.task_id, line.attempt))
                if log is None:
                    self.stale.add(1, utf8_length(line.message))
                    continue
                held = log.held
                log.give_back(line)
                self._pending += 1
                self._room -= log.held - held
                self._dirty[log] = None

    def refused(self, leases: Iterable[Lease]) -> None:
        """Forget the lines of attempts that the store has refused as stale; they and all that follow count as `stale`.

        Lines that were drained before are the caller's to forget.
        """
        with self._lock:
            for lease in leases:
                log = self._open.pop(lease, None)
                if log is not None:
                    lost = self._take(log)
                    self.stale.add(len(lost), sum(utf8_length(line.message) for line in lost))
                    log.dropped.clear()
                    log.refuse("stale")

    def _write_plain(self, running: Running, meta: tuple[str, str, str], text: str) -> None:
        """Record a short line that holds nothing to be cut, split or written out: the common case."""
        size = len(text) if text.isascii() else utf8_length(text)
        scrub = self._limits.scrub
        if scrub is not None:
            text = plain(scrub(text))
        now = self._clock.now()
        with self._lock:
            log = self._log(running, now)
            count, held = len(log.buffer), log.held
            log.add(text, size, meta, now, self._room)
            self._account(log, count, held)

    def _write_blocks(self, running: Running, meta: tuple[str, str, str], text: str) -> None:
        now, part = self._clock.now(), Part()
        for start in range(0, len(text), _BLOCK):
            with self._lock:
                self._feed(self._log(running, now), part, text[start : start + _BLOCK], meta, now)
        if not text.endswith(("\n", "\r")):
            with self._lock:
                log = self._log(running, now)
                count, held = len(log.buffer), log.held
                log.finish(part, meta, now, self._room)
                self._account(log, count, held)

    def _feed_blocks(self, running: Running, stream: str, text: str) -> None:
        now = self._clock.now()
        for start in range(0, len(text), _BLOCK):
            with self._lock:
                log = self._log(running, now)
                part = log.parts.get(stream)
                if part is None:
                    part = log.parts[stream] = Part()
                self._feed(log, part, text[start : start + _BLOCK], (stream, "", ""), now)

    def _feed(self, log: AttemptLog, part: Part, block: str, meta: tuple[str, str, str], now: Now) -> None:
        count, held = len(log.buffer), log.held
        log.feed(part, block, meta, now, self._room)
        self._account(log, count, held)

    def _log(self, running: Running, now: Now) -> AttemptLog:
        log = running.log
        if isinstance(log, AttemptLog):
            return log
        made = AttemptLog(running.task_id, running.attempt, self._limits, now)
        running.log = self._open[Lease(running.task_id, running.attempt)] = made
        return made

    def _account(self, log: AttemptLog, count: int, held: int) -> None:
        """Enter what a log took, from `count` lines and `held` bytes on, into the sums of all."""
        added = len(log.buffer) - count
        if added:
            self._pending += added
            self._room -= log.held - held
            self._dirty[log] = None

    def _take(self, log: AttemptLog) -> list[LogLine]:
        self._dirty.pop(log, None)
        self._room += log.held
        lines = log.take()
        self._pending -= len(lines)
        return lines

    def _ring(self) -> None:
        first = self._resting and self._pending > 0
        if self.on_pending is None or not (first or (self._pending >= WAKE_AT and not self._rung)):
            return
        self._resting = False
        self._rung = not first
        try:
            self.on_pending()
        except Exception:  # noqa: BLE001 - the loop to be woken may be closed; draining at an interval is the net
            self.errors += 1
