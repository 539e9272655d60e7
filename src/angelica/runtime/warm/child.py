"""A warm child as its worker sees it: what it has been given, what it runs, what it says."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from angelica.clock import tick_micros
from angelica.runtime.assignment import Assignment
from angelica.runtime.warm.post import TOKEN
from angelica.runtime.warm.spawn import Remains, Spawned
from angelica.runtime.warm.tree import kill_rest, kill_tree
from angelica.runtime.warm.wire import Frames, Setup, Up, WireError, Work, frame, read_up, work_of

_READ: Final = 1 << 18
_PIPE: Final = 1 << 16
_LOOK: Final = 0.02
"""Seconds between looks at a child where the system does not tell of its death, or that has hung up and lives on."""


class WarmChild:
    """One child; all of it on the worker's event loop.

    `window` holds what was given and has not begun, by number; `running` is what has. `told` says that the running
    attempt has been told to stop, `leaving` that the child gets nothing more. `failure` is why it could not start, or
    had to be killed; `detail` is a traceback.
    """

    def __init__(
        self,
        spawned: Spawned,
        setup: Setup,
        *,
        on_news: Callable[[WarmChild, Sequence[Up]], None],
        on_death: Callable[[WarmChild, Remains], None],
    ) -> None:
        self.pid = spawned.pid
        self.box = spawned.box
        self.born = tick_micros()
        self.names: frozenset[str] | None = None
        self.failure = ""
        self.detail = ""
        self.window: dict[int, Assignment] = {}
        self.running: Assignment | None = None
        self.running_seq = 0
        self.cpu_before = 0.0
        self.ended = 0
        self.told = False
        self.leaving = False
        self.timer: asyncio.TimerHandle | None = None
        self._spawned = spawned
        self._on_news = on_news
        self._on_death = on_death
        self._frames = Frames()
        self._seq = 0
        self._out: deque[tuple[memoryview, bytes]] = deque()
        self._dead = False
        self._writing = False
        self._loop = loop = asyncio.get_running_loop()
        loop.add_reader(spawned.link, self._read)
        if spawned.handle is not None:
            loop.add_reader(spawned.handle, self._look)
        else:  # the end of the line is no sign: what a handler has forked may hold the other end
            loop.call_later(_LOOK, self._look)
        self._send(frame([setup]), b"")

    @property
    def is_open(self) -> bool:
        """Whether it may be given assignments."""
        return self.names is not None and not self.leaving and not self.told

    @property
    def load(self) -> int:
        """How many assignments it has, begun or not."""
        return len(self.window) + (self.running is not None)

    # -- giving and taking back -------------------------------------------------------------------------------------

    def give(self, assignments: Sequence[Assignment], *, grant: int, offset: int) -> None:
        """Hand assignments over; it may begin them until `grant` (wall microseconds)."""
        works: list[Work] = []
        size = 0
        for assignment in assignments:
            self._seq += 1
            self.window[self._seq] = assignment
            works.append(work_of(assignment.task, self._seq, assignment.slot, grant, offset))
            size += len(works[-1].payload)
            if size > _READ:  # a frame of its own: what is large must not hold up the tokens of what is not
                self._send_works(works)
                works, size = [], 0
        if works:
            self._send_works(works)

    def _send_works(self, works: list[Work]) -> None:
        self._send(frame(works), b"".join([work.seq.to_bytes(TOKEN) for work in works]))

    def take_back(self) -> list[Assignment]:
        """Take back all that it has not taken yet: whoever reads a token first has its assignment."""
        tokens = b"".join(unsent for _, unsent in self._out)
        self._out = deque((data, b"") for data, _ in self._out)
        with suppress(BlockingIOError):
            tokens = os.read(self._spawned.tokens, _PIPE) + tokens
        taken = [int.from_bytes(tokens[at : at + TOKEN]) for at in range(0, len(tokens), TOKEN)]
        return [self.window.pop(seq) for seq in taken if seq in self.window]

    def _send(self, data: bytes, tokens: bytes) -> None:
        self._out.append((memoryview(data), tokens))
        if len(self._out) == 1:
            self._write()

    def _write(self) -> None:
        """Send what waits; the tokens of a frame when all of it is on its way."""
        link = self._spawned.link
        while self._out:
            data, tokens = self._out[0]
            try:
                sent = link.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:  # it is dying; its death says the rest
                break
            if sent < len(data):
                self._out[0] = (data[sent:], tokens)
                self._loop.add_writer(link, self._write)
                self._writing = True
                return
            self._out.popleft()
            if tokens and self._spawned.giving >= 0:
                os.write(self._spawned.giving, tokens)
        if self._writing:
            self._writing = False
            self._loop.remove_writer(link)

    # -- hearing ----------------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Hear what it says; return whether there may be more to read."""
        try:
            data = self._spawned.link.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._spawned.link)
            if not self._dead:
                self._look()
            return False
        try:
            for body in self._frames.feed(data):
                self._on_news(self, read_up(body))
        except WireError as error:
            self.failure = f"it broke the protocol: {error}"
            self.kill()
            return False
        return True

    def hear(self) -> None:
        """Hear all that it has said so far."""
        while self._read():
            pass

    def _look(self) -> None:
        """See whether it is dead; then hear its last words and say so."""
        if self._dead:
            return
        remains = self._spawned.reap()
        if remains is None:
            self._loop.call_later(_LOOK, self._look)
            return
        self._dead = True
        self.hear()
        if self.timer is not None:
            self.timer.cancel()
        self._loop.remove_reader(self._spawned.link)
        if self._spawned.handle is not None:
            self._loop.remove_reader(self._spawned.handle)
        self._loop.remove_writer(self._spawned.link)
        self._on_death(self, remains)
        self._spawned.close()

    # -- ending -----------------------------------------------------------------------------------------------------

    def say_stop(self, reason: str, message: str) -> None:
        """Tell the attempt that runs to stop."""
        self.box.say_stop(self.running_seq, reason, message)

    def signal_group(self, number: int) -> None:
        """Send a signal to the child and what it has started in its own session."""
        if not self._dead:
            self._spawned.signal_group(number)

    def retire(self) -> None:
        """Let it end when it has ended what it runs; take back what it has not begun before."""
        self.leaving = True
        self._spawned.close_giving()

    def kill(self) -> None:
        """End it now, with all that it has started."""
        self.leaving = True
        if not self._dead:
            kill_tree(self.pid)

    def sweep(self, then: Callable[[], None]) -> None:
        """End all that it has started, but not itself; in a thread, and call `then` on the event loop."""
        swept = self._loop.run_in_executor(None, kill_rest, self.pid, self._spawned.mark)
        swept.add_done_callback(lambda _: then())

    def is_overdue(self, max_age: int | None) -> bool:
        """Whether it is older than `max_age` microseconds."""
        return max_age is not None and tick_micros() - self.born > max_age
