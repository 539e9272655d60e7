"""The post: a warm child's end of the line to its worker. Assignments come in, news go out in batches."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from angelica.clock import Clock
from angelica.current import Running
from angelica.runtime.journal import Journal
from angelica.runtime.warm.blackbox import BlackBox
from angelica.runtime.warm.wire import (
    Ended,
    Frames,
    Line,
    Lines,
    Noted,
    Setup,
    Up,
    WireError,
    Work,
    frame,
    read_setup,
    read_work,
)
from angelica.storage.protocol import LogLine, Note

LINK_VARIABLE: Final = "ANGELICA_WARM_LINK"
TOKEN: Final = 4
"""Bytes of a token: the number of an assignment. Who has read the token has the assignment."""

EVERY: Final = 0.05
"""Seconds in which lines and notes of a running attempt are gathered before they are sent."""

_READ: Final = 1 << 18
_BATCH: Final = 500  # lines of one message


class Post:
    """The inherited descriptors: a stream, a pipe of tokens, and the black box.

    The stream carries assignments, but a child has one only when it has read its token, which one byte pipe hands
    out: until then the worker can take the token back by reading it itself, and no word has to go to and fro.

    News of the handler's own thread wait in a list until `send`. Lines and notes are sent by a thread that is there
    once an attempt has written any. Every frame goes out under one lock, so ends never overtake lines.
    """

    def __init__(self, link: socket.socket, tokens: int, box: BlackBox, parent: int) -> None:
        self.box = box
        self.parent = parent
        self.seq = 0
        """The assignment that is running."""
        self._link = link
        self._tokens = tokens
        self._frames = Frames()
        self._works: list[Work] = []
        self._poll = select.poll()
        self._poll.register(tokens, select.POLLIN)
        self._poll.register(link, select.POLLIN)
        self._out: list[Up] = []
        self._notes: deque[Noted] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._pause = threading.Event()  # never set: waiting for it is a pause
        self._sender: threading.Thread | None = None
        self._journal: Journal

    @classmethod
    def inherit(cls) -> Post | None:
        """Take the line over if a worker has started this process, else None."""
        numbers = [int(each) for each in os.environ.pop(LINK_VARIABLE, "").split(":") if each.isdigit()]
        if len(numbers) != 5:  # noqa: PLR2004 - four descriptors and the parent's pid
            return None
        *descriptors, parent = numbers
        for each in descriptors:
            os.set_inheritable(each, False)  # noqa: FBT003 - takes no keyword
        link, tokens, words, faults = descriptors
        return cls(socket.socket(fileno=link), tokens, BlackBox(words, faults), parent)

    def journal(self, clock: Clock, setup: Setup, scrub: Callable[[str], str]) -> Sink:
        """Take the lines of attempts into a journal of this child; return what they write to."""
        limit, line_limit = setup.log_limit, setup.log_line_limit
        self._journal = Journal(clock, limit=limit, line_limit=line_limit, scrub=scrub)
        return Sink(self, self._journal)

    # -- in ---------------------------------------------------------------------------------------------------------

    def setup(self) -> Setup:
        """Wait for the first frame; raises `EOFError` if the worker is gone."""
        while True:
            for body in self._frames.feed(self._receive()):
                return read_setup(body)

    def next(self) -> Work | None:
        """Return the next assignment, once it is this child's; None when there will be no more.

        Sends what is waiting before it rests.
        """
        while True:
            try:
                token = os.read(self._tokens, TOKEN)
            except BlockingIOError:
                self.send()
                # The token of a large assignment comes when all of it is sent, so it must be read to get there.
                if self._link.fileno() in dict(self._poll.poll()):
                    self._read_on()
                continue
            if len(token) != TOKEN:
                return None
            return self._work(int.from_bytes(token))

    def _work(self, seq: int) -> Work | None:
        while True:
            # What comes before it was taken back by the worker, and comes again under another number.
            self._works = [work for work in self._works if work.seq >= seq]
            if self._works and self._works[0].seq == seq:
                return self._works.pop(0)
            if self._works:
                raise WireError(f"a token for assignment {seq}, which never came")
            self._read_on()

    def _read_on(self) -> None:
        for body in self._frames.feed(self._receive()):
            self._works += read_work(body)

    def _receive(self) -> bytes:
        data = self._link.recv(_READ)
        if not data:
            raise EOFError
        return data

    # -- out --------------------------------------------------------------------------------------------------------

    def tell(self, news: Up) -> None:
        """Take news to be sent with the next `send`; the handler's thread, outside of handlers."""
        self._out.append(news)

    def send(self) -> None:
        """Send what is waiting; raises `OSError` if the worker is gone."""
        if self._out:
            news, self._out = self._out, []
            with self._lock:
                self._link.sendall(frame(news))

    def end(self, running: Running, ended: Ended) -> None:
        """Take the end of an attempt, after all that it wrote."""
        with self._lock:
            self._out += self._gathered(self._journal.close(running))
            self._out.append(ended)

    def note(self, seq: int, note: Note) -> None:
        """Send a checkpoint or progress of an attempt soon; any thread."""
        self._notes.append(Noted(seq, note.checkpoint, note.progress))
        self.stir()

    def stir(self) -> None:
        """There are lines or notes, which shall be sent soon; any thread."""
        if self._sender is None:
            self._sender = threading.Thread(target=self._run, name="angelica-post", daemon=True)
            self._sender.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._pause.wait(EVERY)
            self._wake.clear()
            with self._lock:
                lines = self._journal.drain()
                try:
                    for news in self._gathered(lines):
                        self._link.sendall(frame([news]))
                except OSError:  # the worker is gone; the handler's thread will find out
                    return

    def _gathered(self, lines: Sequence[LogLine]) -> list[Up]:
        """Return the notes and lines of the running attempt as messages of a moderate size."""
        news: list[Up] = []
        while self._notes:
            news.append(self._notes.popleft())
        batch: list[Line] = []
        size = 0
        for line in lines:
            batch.append((line.at, line.stream, line.level, line.logger, line.message))
            size += len(line.message)
            if len(batch) >= _BATCH or size >= _READ:
                news.append(Lines(self.seq, batch))
                batch, size = [], 0
        if batch:
            news.append(Lines(self.seq, batch))
        return news


class Sink:
    """What attempts in a child write to: the journal, which bounds it, and the black box, which outlives a crash."""

    def __init__(self, post: Post, journal: Journal) -> None:
        self._post = post
        self._journal = journal

    def write(self, running: Running, stream: str, level: str, logger: str, message: str) -> None:
        self._journal.write(running, stream, level, logger, message)
        self._post.box.keep(message + "\n")
        self._post.stir()

    def feed(self, running: Running, stream: str, text: str) -> None:
        self._journal.feed(running, stream, text)
        self._post.box.keep(text)
        self._post.stir()

    def drop(self, running: Running, reason: str, lines: int, size: int) -> None:
        self._journal.drop(running, reason, lines, size)
