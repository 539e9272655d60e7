"""One child process of the supervisor: how it is started, what it said over its link, how it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from angelica.clock import tick_micros
from angelica.domain.task import NOTHING
from angelica.runtime.childlink import LINK_VARIABLE

ChildKind = Literal["api", "worker"]
_LINE_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run: `argv` with `env` on top of ours and the descriptors `pass_fds` inherited."""

    name: str
    kind: ChildKind
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a child could not start, in its own words; `fatal` is an exit code when trying again is of no use.

    `moved_to` is where the store has gone, if that is why.
    """

    error: str
    hint: str = ""
    detail: str = ""
    fatal: int | None = None
    moved_to: str = ""


class Child:
    """A running child. `facts` is what it said when it became ready, `failure` why it could not.

    `leaving` is set when it said that an operator wants its end: it is not to be started again.
    """

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.spec = spec
        self.process = process
        self.born = tick_micros()
        self.ready = False
        self.facts: dict[str, Any] = {}
        self.failure: Failure | None = None
        self.files: tuple[str, ...] = ()
        self.stopping = False
        self.leaving = False
        self.killed = False
        self._channel = channel
        self._handle = _open_handle(process.pid)

    @classmethod
    async def spawn(cls, spec: ChildSpec) -> Child:
        """Start the process, in our own process group: a kill of the group leaves no orphan."""
        ours, theirs = socket.socketpair()
        try:
            env = {**os.environ, **spec.env, LINK_VARIABLE: f"{theirs.fileno()}:{os.getpid()}"}
            fds = (theirs.fileno(), *spec.pass_fds)
            process = await asyncio.create_subprocess_exec(*spec.argv, stdin=subprocess.DEVNULL, env=env, pass_fds=fds)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.settimeout(0)
        return cls(spec, process, ours)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def listen(self, on_ready: Callable[[Child], None]) -> int:
        """Read what the child says until it ends; return its return code (negative: a signal)."""
        reading = asyncio.create_task(self._read(on_ready))
        try:
            code = await self.process.wait()
            with suppress(TimeoutError):  # its last words may still be in the socket; a grandchild may keep it open
                await asyncio.wait_for(reading, 0.2)
            return code
        finally:
            reading.cancel()
            self._channel.close()
            self._close_handle()

    async def _read(self, on_ready: Callable[[Child], None]) -> None:
        loop = asyncio.get_running_loop()
        buffer = b""
        while data := await self._receive(loop):
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line), on_ready)
            if len(buffer) > _LINE_LIMIT:
                return

    async def _receive(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._channel, 65536)
        except OSError:
            return b""

    def _hear(self, message: dict[str, Any], on_ready: Callable[[Child], None]) -> None:
        self.files = tuple(message.pop("files", ())) or self.files
        self.leaving = self.leaving or bool(message.pop("leaving", False))
        if message.pop("ready", False):
            self.facts = message
            self.ready = True
            on_ready(self)
        elif "failed" in message:
            text = {key: str(message.get(key) or "") for key in ("failed", "hint", "detail", "moved_to")}
            self.failure = Failure(text["failed"], text["hint"], text["detail"], message.get("fatal"), text["moved_to"])

    def tell(self, word: str) -> None:
        """Send a word down the link; a child that does not read loses it."""
        with suppress(OSError):
            self._channel.send(word.encode() + b"\n")

    def terminate(self) -> None:
        """Ask it to stop; asked again, it hastens."""
        self.stopping = True
        self._signal(signal.SIGTERM)

    def hasten(self) -> None:
        """Ask it to stop at once; in a word too, since the kernel makes one of two signals not taken yet."""
        self.tell("hasten")
        self.terminate()

    def kill(self) -> None:
        """End it now."""
        self.stopping = self.killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not `process.send_signal`: it polls first, and may reap the child before asyncio's watcher, which then
        # cannot tell how it ended. And not its pid where there is a descriptor: a pid may have a new owner by now.
        if self._handle is None and self.process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, number)
            else:
                os.kill(self.pid, number)

    def _close_handle(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _open_handle(pid: int) -> int | None:
    """Return a descriptor of the process, None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
