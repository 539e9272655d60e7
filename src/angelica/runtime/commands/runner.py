"""The runner: a worker's side of its commands, many at once over one helper process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import angelica
from angelica.clock import SECOND
from angelica.runtime.commands.checks import user_for
from angelica.runtime.commands.frames import HEADER, BadFrame, body_length, pack, unpack
from angelica.runtime.commands.place import sweep
from angelica.runtime.commands.spec import CommandEnd, CommandSpec, Usage

log: Final = logging.getLogger("angelica.commands")

OnLines = Callable[[str, list[str]], object]
"""Takes a stream (`stdout`, `stderr`) and lines of it, without their ends; called on the event loop."""

# The standard library comes first on its path, so that no module beside ours can stand in for one of it.
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from angelica.runtime.commands.helper import main; main()"
)
_START_WITHIN: Final = 20.0
_LEAVE_WITHIN: Final = 5.0
_RETRY: Final = 0.005
_TRIES: Final = 3


class RunnerFailed(Exception):
    """The helper could not be started; the text says why."""


class CommandRunner:
    """Runs commands. On one event loop; `directory` is where their private directories are made.

    With `groups=False` no control group is made, also where it could be: for a host on which they are somebody else's.
    The helper is started with the first command, or by `start`, and again whenever it has died. A command whose
    keeper is killed ends as `crashed`; the death of the helper alone does not touch those that run.
    """

    def __init__(self, directory: str | Path | None = None, *, groups: bool = True) -> None:
        self.directory = str(directory or Path(tempfile.gettempdir()) / f"angelica-commands-{os.geteuid()}")
        self._groups = groups
        self._helper: _Helper | None = None
        self._starting = asyncio.Lock()

    @property
    def helper_pid(self) -> int | None:
        """The process id of the helper, None while there is none."""
        return None if self._helper is None else self._helper.process.pid

    async def start(self) -> Mapping[str, Any]:
        """Start the helper unless it runs; return what it found on this machine.

        `means` tells what bounds `memory`, `cpu` and `pids`, what kills (`kill`) and where the figures come from
        (`cpu_seconds`, `peak_memory`); `notes` why something better is not used; `swept` which abandoned commands
        were ended. Raises `RunnerFailed`.
        """
        async with self._starting:
            if self._helper is None or self._helper.is_gone():
                if self._helper is not None:
                    log.warning("the helper for commands has died; starting another")
                    await self._helper.close()
                self._helper = await _Helper.start(self.directory, groups=self._groups)
            return self._helper.facts

    async def close(self) -> None:
        """Let the helper leave. Commands that still run are not touched; cancel their `run` to kill them."""
        async with self._starting:
            helper, self._helper = self._helper, None
            if helper is not None:
                await helper.close()

    async def run(
        self,
        spec: CommandSpec,
        *,
        on_lines: OnLines,
        stop: asyncio.Event | None = None,
        hasten: asyncio.Event | None = None,
    ) -> CommandEnd:
        """Run a command to its end; nothing of it is left when this returns.

        `stop` asks it to end (SIGTERM, and SIGKILL after the grace), `hasten` kills it at once; so does a
        cancellation. Raises `CannotRun` if it must not run here, `RunnerFailed` if the helper does not start.
        """
        owner = user_for(spec.run_as)
        run = os.urandom(12).hex()
        async with self._line() as (reader, writer):
            words = [
                asyncio.create_task(_tell(writer, event, at_once=at_once))
                for event, at_once in ((stop, False), (hasten, True))
                if event is not None
            ]
            try:
                writer.write(pack(self._asked(spec, run, owner)))
                end = await _listen(reader, on_lines)
            finally:
                for word in words:
                    word.cancel()
        if end is not None:
            return _end(end)
        # Nobody is left who would clean up. The groups and the mark lead to what still runs.
        await asyncio.to_thread(sweep, self.directory, run)
        return CommandEnd("crashed", message="the process that kept the command was killed")

    def _asked(self, spec: CommandSpec, run: str, owner: tuple[int, int] | None) -> dict[str, Any]:
        return {
            "run": run,
            "base": self.directory,
            "argv": list(spec.argv),
            "env": dict(spec.env),
            "files": list(spec.files),
            "uid": None if owner is None else owner[0],
            "gid": None if owner is None else owner[1],
            "memory": spec.limits.memory,
            "cpu": spec.limits.cpu,
            "pids": spec.limits.pids,
            "timeout": None if spec.timeout is None else spec.timeout / SECOND,
            "grace": spec.grace / SECOND,
            "output": list(spec.output),
        }

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A line to a keeper of its own; when it is closed, the keeper kills what it keeps."""
        for _ in range(_TRIES):
            reader, writer = await asyncio.open_connection(sock=await self._hand_over())
            try:
                # Only a keeper that is there is told what to run: a helper that died with the line in its hands has
                # run nothing, and the next one can be asked.
                if await _next(reader) is not None:
                    yield reader, writer
                    return
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        raise RunnerFailed(f"the helper for commands has died {_TRIES} times in a row")

    async def _hand_over(self) -> socket.socket:
        """Give one end of a new line to the helper, to fork a keeper for it; return ours."""
        while True:
            await self.start()
            helper = self._helper
            if helper is None:
                raise RunnerFailed("the runner was closed")
            ours, theirs = socket.socketpair()
            try:
                socket.send_fds(helper.channel, [b"+"], [theirs.fileno()])
                return ours
            except BlockingIOError:
                await asyncio.sleep(_RETRY)
            except OSError:  # it has died since we looked
                helper.dead = True
            finally:
                theirs.close()
            ours.close()


class _Helper:
    """A helper process that has started."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, facts: Mapping[str, Any]) -> None:
        self.process = process
        self.channel = channel
        self.facts = facts
        self.dead = False

    @classmethod
    async def start(cls, directory: str, *, groups: bool) -> _Helper:
        ours, theirs = socket.socketpair()
        home = str(Path(angelica.__file__).parent.parent)
        words = (home, str(theirs.fileno()), directory, "groups" if groups else "no-groups", str(os.getpid()))
        # No variable of ours goes along: whoever is its user could read them there.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - takes no keyword
        helper = cls(process, ours, {})
        try:
            helper.facts = await asyncio.wait_for(_first_words(ours), _START_WITHIN)
        except (TimeoutError, BadFrame, OSError) as error:
            helper.facts = {"failed": f"it said nothing: {error}"}
        if "failed" in helper.facts:
            await helper.close()
            raise RunnerFailed(f"the helper for commands did not start: {helper.facts['failed']}")
        return helper

    def is_gone(self) -> bool:
        """Whether it has died."""
        return self.dead or self.process.returncode is not None

    async def close(self) -> None:
        """Let it leave; kill it if it does not."""
        self.channel.close()
        try:
            await asyncio.wait_for(self.process.wait(), _LEAVE_WITHIN)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def _first_words(channel: socket.socket) -> dict[str, Any]:
    loop = asyncio.get_running_loop()

    async def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = await loop.sock_recv(channel, count - len(data))
            if not more:
                raise BadFrame("it has died")
            data += more
        return data

    return unpack(await exactly(body_length(await exactly(HEADER))))


async def _tell(writer: asyncio.StreamWriter, event: asyncio.Event, *, at_once: bool) -> None:
    await event.wait()
    writer.write(pack({"at_once": at_once}))


async def _listen(reader: asyncio.StreamReader, on_lines: OnLines) -> dict[str, Any] | None:
    """Pass on the output; return the last frame, None if the line ended without one."""
    while (message := await _next(reader)) is not None:
        if "lines" in message:
            on_lines(message["stream"], message["lines"])
        elif "end" in message:
            end: dict[str, Any] = message["end"]
            return end
    return None


async def _next(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Return the next message, None at the end of the line."""
    try:
        return unpack(await reader.readexactly(body_length(await reader.readexactly(HEADER))))
    except (asyncio.IncompleteReadError, ConnectionError, BadFrame):
        return None


def _end(told: dict[str, Any]) -> CommandEnd:
    if told["reason"] == "not_started":
        return CommandEnd("not_started", message=told["message"])
    return CommandEnd(
        told["reason"],
        exit_code=told["exit_code"],
        signal=told["signal"],
        killed_by=told["killed_by"],
        usage=Usage(*told["usage"]),
        dropped={stream: (lines, size) for stream, (lines, size) in told["dropped"].items()},
        seconds=told["seconds"],
    )
