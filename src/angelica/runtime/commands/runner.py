"""The runner: a worker's side of its commands, many at once over one helper process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from angelica.clock import SECOND
from angelica.runtime.commands.checks import user_for
from angelica.runtime.commands.frames import HEADER, BadFrame, body_length, pack, unpack
from angelica.runtime.commands.helper_process import HelperProcess, RunnerFailed
from angelica.runtime.commands.place import sweep
from angelica.runtime.commands.spec import CommandEnd, CommandSpec, Usage
from angelica.runtime.limits import proc

log: Final = logging.getLogger("angelica.commands")

OnLines = Callable[[str, list[str]], object]
"""Takes a stream (`stdout`, `stderr`) and lines of it, without their ends; called on the event loop."""

OVERDUE: Final = 10.0
"""Seconds after which a keeper that should have ended its command is killed itself: the command may have stopped it."""

FORK_WITHIN: Final = 20.0
"""Seconds in which the helper has forked a keeper; else another helper is started."""

_RETRY: Final = 0.005
_TRIES: Final = 3


class Line(NamedTuple):
    """A line to a keeper, with its process id."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keeper: int


class CommandRunner:
    """Runs commands. On one event loop; `directory` is where their private directories are made.

    With `groups=False` no control group is made, also where it could be: for a host on which they are somebody else's.
    The helper is started with the first command, or by `start`, and again whenever it has died. A command whose
    keeper is killed ends as `crashed`; the death of the helper alone does not touch those that run.
    """

    def __init__(self, directory: str | Path | None = None, *, groups: bool = True) -> None:
        self.directory = str(directory or Path(tempfile.gettempdir()) / f"angelica-commands-{os.geteuid()}")
        self._groups = groups
        self._helper: HelperProcess | None = None
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
                self._helper = await HelperProcess.start(self.directory, groups=self._groups)
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
        async with self._line() as line:
            tells = [
                _tell(line, event, spec.grace / SECOND, at_once=at_once)
                for event, at_once in ((stop, False), (hasten, True))
                if event is not None
            ]
            if spec.timeout is not None:
                tells.append(_end_overdue(line.keeper, (spec.timeout + spec.grace) / SECOND))
            tasks = [asyncio.create_task(tell) for tell in tells]
            try:
                line.writer.write(pack(self._asked(spec, run, owner)))
                end = await _listen(line.reader, on_lines)
            finally:
                for task in tasks:
                    task.cancel()
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
    async def _line(self) -> AsyncIterator[Line]:
        """A line to a keeper of its own; when it is closed, the keeper kills what it keeps."""
        for _ in range(_TRIES):
            helper, ours = await self._hand_over()
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                # Only a keeper that is there is told what to run: a helper that died with the line in its hands has
                # run nothing, and the next one can be asked.
                said = await asyncio.wait_for(_next(reader), FORK_WITHIN)
                if said is not None:
                    yield Line(reader, writer, said["keeper"])
                    return
            except TimeoutError:
                helper.dead = True
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        raise RunnerFailed(f"the helper for commands has died {_TRIES} times in a row")

    async def _hand_over(self) -> tuple[HelperProcess, socket.socket]:
        """Give one end of a new line to the helper, to fork a keeper for it; return the helper and our end."""
        while True:
            await self.start()
            helper = self._helper
            if helper is None:
                raise RunnerFailed("the runner was closed")
            ours, theirs = socket.socketpair()
            try:
                socket.send_fds(helper.channel, [b"+"], [theirs.fileno()])
                return helper, ours
            except BlockingIOError:
                await asyncio.sleep(_RETRY)
            except OSError:  # it has died since we looked
                helper.dead = True
            finally:
                theirs.close()
            ours.close()


async def _tell(line: Line, event: asyncio.Event, grace: float, *, at_once: bool) -> None:
    await event.wait()
    line.writer.write(pack({"at_once": at_once}))
    await _end_overdue(line.keeper, 0 if at_once else grace)


async def _end_overdue(keeper: int, seconds: float) -> None:
    """Kill a keeper that has not ended its command in time: a command of our own user can stop it, or trace it."""
    await asyncio.sleep(seconds + OVERDUE)
    log.error("the keeper %d of a command is overdue; killing it", keeper)
    proc.send(keeper, signal.SIGKILL)


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
