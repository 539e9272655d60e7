"""The keeper: the small process that starts one command, passes on its output, ends it, and cleans up after it."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from contextlib import ExitStack, suppress
from typing import Any, Final

from angelica.clock import tick_micros
from angelica.runtime.commands.frames import HEADER, BadFrame, body_length, pack, receive, unpack
from angelica.runtime.commands.launch import Launch, NotStarted, Started, become_subreaper, launch
from angelica.runtime.commands.output import Budget, LineStream, OutputLimits
from angelica.runtime.commands.place import MARK, Place
from angelica.runtime.commands.reaper import Reaper
from angelica.runtime.limits.handle import Bounds, Handle
from angelica.runtime.limits.machine import Machine

_SECOND: Final = 1_000_000
_LOOK: Final = 100_000
"""Microseconds between two looks of the memory watchdog."""

_DRAIN: Final = 250_000
"""Microseconds that output may still come after the command has exited: a grandchild can hold the pipe for ever."""

_READ: Final = 1 << 16
_HELD: Final = 256 << 10
"""Bytes that wait for the worker; with more, the command's output is not read, and it waits itself."""

_LAST_WORDS: Final = 30.0


def keep(channel: socket.socket, machine: Machine, worker: int | None) -> None:
    """Serve one command over its channel, from the first frame (what to run) to the last (how it ended).

    `worker` is a descriptor that becomes readable when the worker ends.
    """
    become_subreaper()
    channel.sendall(pack({"keeper": os.getpid()}))
    asked = receive(channel)
    if asked is None:
        return
    with ExitStack() as cleanup:
        try:
            keeper = _start(channel, asked, machine, cleanup)
        except (OSError, NotStarted) as error:
            end: dict[str, Any] = {"reason": "not_started", "message": _said(error)}
        else:
            try:
                keeper.run(worker)
            except Abandoned:
                return
            end = keeper.end()
    # After the cleanup: who hears of the end finds nothing left.
    with suppress(OSError):
        channel.settimeout(_LAST_WORDS)
        channel.sendall(pack({"end": end}))


class Abandoned(Exception):
    """The worker is gone."""


def _start(channel: socket.socket, asked: dict[str, Any], machine: Machine, cleanup: ExitStack) -> Keeper:
    owner = None if asked["uid"] is None else (int(asked["uid"]), int(asked["gid"]))
    uid = os.geteuid() if owner is None else owner[0]
    if uid == 0:
        raise NotStarted("as root, nothing is run without another user to run it as")
    reaper = Reaper()
    cleanup.callback(reaper.close)
    place = Place(asked["base"], asked["run"], owner, asked["files"])
    cleanup.callback(place.remove)
    handle = Handle(machine, asked["run"], Bounds(asked["memory"], asked["cpu"], asked["pids"], uid))
    cleanup.callback(handle.close)
    place.note(handle.directories)
    env = {**asked["env"], "HOME": place.home, "TMPDIR": place.tmp, MARK: asked["run"]}
    started = launch(Launch(asked["argv"], env, place.work, owner), handle)
    reaper.main = started.pid
    keeper = Keeper(channel, asked, started, handle, reaper)
    cleanup.callback(keeper.kill)
    return keeper


class Keeper:
    """A running command. `run` returns when nothing of it is left."""

    def __init__(
        self, channel: socket.socket, asked: dict[str, Any], started: Started, handle: Handle, reaper: Reaper
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._reaper = reaper
        self._begun = now = tick_micros()
        budget = Budget(OutputLimits(*asked["output"]), now)
        self._streams = {"stdout": LineStream(budget), "stderr": LineStream(budget)}
        self._pipes = {started.stdout: "stdout", started.stderr: "stderr"}
        self._reading = False
        self._selector = selectors.DefaultSelector()
        self._out = bytearray(pack({"started": started.pid}))
        self._in = bytearray()
        self._grace = int(asked["grace"] * _SECOND)
        self._times_out = None if asked["timeout"] is None else now + int(asked["timeout"] * _SECOND)
        self._kill_at: int | None = None
        self._drained_by: int | None = None
        self._look_at = now if handle.watched else None
        self._reason: str | None = None
        self._killed_by: str | None = None

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self, worker: int | None) -> None:
        """Serve until the command has ended and its output is passed on; raises `Abandoned`."""
        self._channel.settimeout(0)
        if worker is not None:
            self._selector.register(worker, selectors.EVENT_READ)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(self._reaper.wake, selectors.EVENT_READ)
        while not self._is_over():
            self._balance()
            for key, events in self._selector.select(self._wait() / _SECOND):
                self._serve(key.fd, events)
            self._look(tick_micros())
        self.kill()
        self._empty()
        try:
            self._channel.settimeout(_LAST_WORDS)
            self._channel.sendall(self._out)
        except OSError:
            raise Abandoned from None

    def _empty(self) -> None:
        """Take what is left in the pipes; nobody writes any more, so it is no more than they hold."""
        for pipe, name in self._pipes.items():
            os.set_blocking(pipe, False)
            with suppress(BlockingIOError):
                while data := os.read(pipe, _READ):
                    self._pass_on(name, self._streams[name].feed(data, tick_micros()))
            self._pass_on(name, self._streams[name].close(tick_micros()))

    def _is_over(self) -> bool:
        if not self._reaper.main_ended:
            return False
        if self._drained_by is None:
            self._drained_by = tick_micros() + _DRAIN
        return not self._pipes or tick_micros() >= self._drained_by

    def _balance(self) -> None:
        """Read the command's output only while the worker takes it: else the command waits, and no memory grows."""
        wanted = len(self._out) < _HELD
        if wanted != self._reading:
            for pipe in self._pipes:
                if wanted:
                    self._selector.register(pipe, selectors.EVENT_READ)
                else:
                    self._selector.unregister(pipe)
            self._reading = wanted
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        self._selector.modify(self._channel, events)

    def _wait(self) -> int:
        """Return the microseconds until something must be done."""
        moments = [m for m in (self._times_out, self._kill_at, self._drained_by, self._look_at) if m is not None]
        return max(0, min(moments) - tick_micros()) if moments else 3600 * _SECOND

    def _serve(self, descriptor: int, events: int) -> None:
        if descriptor == self._reaper.wake:
            self._reaper.reap()
        elif descriptor == self._channel.fileno():
            if events & selectors.EVENT_WRITE and self._out:
                del self._out[: self._send()]
            if events & selectors.EVENT_READ:
                self._listen()
        elif descriptor in self._pipes:
            self._read(descriptor)
        else:
            raise Abandoned

    def _send(self) -> int:
        try:
            return self._channel.send(self._out)
        except BlockingIOError:
            return 0
        except OSError:
            raise Abandoned from None

    def _read(self, pipe: int) -> None:
        data = os.read(pipe, _READ)
        name = self._pipes[pipe]
        now = tick_micros()
        self._pass_on(name, self._streams[name].feed(data, now) if data else self._streams[name].close(now))
        if not data:
            self._selector.unregister(pipe)
            os.close(pipe)
            del self._pipes[pipe]

    def _pass_on(self, name: str, lines: list[str]) -> None:
        if lines:
            self._out += pack({"stream": name, "lines": lines})

    # -- the worker's words, and the clock's --------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            data = self._channel.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise Abandoned
        self._in += data
        try:
            while len(self._in) >= HEADER and len(self._in) >= (size := HEADER + body_length(bytes(self._in[:HEADER]))):
                message = unpack(bytes(self._in[HEADER:size]))
                del self._in[:size]
                self._stop("stopped", at_once=bool(message.get("at_once")))
        except BadFrame:
            raise Abandoned from None

    def _look(self, now: int) -> None:
        if self._times_out is not None and now >= self._times_out:
            self._times_out = None
            self._stop("timeout", at_once=False)
        if self._look_at is not None and now >= self._look_at:
            self._look_at = now + _LOOK
            if self._handle.look():
                self._stop("out_of_memory", at_once=True)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self.kill()

    def _stop(self, reason: str, *, at_once: bool) -> None:
        """Ask the command to end, and set the moment when it is not asked any more; the first reason stands."""
        if self._reaper.main_ended:
            return
        if self._reason is None:
            self._reason = reason
            if not at_once:
                self._reaper.signal_group(signal.SIGTERM)
                self._reaper.signal_group(signal.SIGCONT)  # one that is stopped would hear it never
        ends_at = tick_micros() + (0 if at_once else self._grace)
        self._kill_at = ends_at if self._kill_at is None else min(self._kill_at, ends_at)

    def kill(self) -> None:
        """Kill whatever of the command is left, and see it gone."""
        if not self._reaper.reap():
            self._killed_by = self._handle.kill_tree(self._reaper.reap)

    def end(self) -> dict[str, Any]:
        """Return how the command ended and what it took."""
        status = self._reaper.main_status
        code = None if status is None else os.waitstatus_to_exitcode(status)
        reason = self._reason
        if reason is None:
            reason = "exited" if code is not None and code >= 0 else "signalled"
            if code != 0 and self._handle.oom():
                reason = "out_of_memory"
        usage = self._handle.usage(self._reaper.cpu_seconds, self._reaper.peak_memory)
        return {
            "reason": reason,
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "killed_by": self._killed_by,
            "seconds": (tick_micros() - self._begun) / _SECOND,
            "usage": list(usage),
            "dropped": {name: [s.dropped_lines, s.dropped_bytes] for name, s in self._streams.items()},
        }


def _said(error: OSError | NotStarted) -> str:
    if isinstance(error, NotStarted):
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
