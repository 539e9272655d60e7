"""The helper as its worker has it: started, heard, and let go."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import angelica
from angelica.runtime.commands.frames import HEADER, BadFrame, body_length, unpack

START_WITHIN: Final = 20.0
LEAVE_WITHIN: Final = 5.0

# The standard library comes first on its path, so that no module beside ours can stand in for one of it.
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from angelica.runtime.commands.helper import main; main()"
)


class RunnerFailed(Exception):
    """The helper could not be started; the text says why."""


class HelperProcess:
    """A helper that has started; `facts` is what it found on this machine, `dead` is set by who finds it so."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, facts: Mapping[str, Any]) -> None:
        self.process = process
        self.channel = channel
        self.facts = facts
        self.dead = False

    @classmethod
    async def start(cls, directory: str, *, groups: bool) -> HelperProcess:
        """Start one; raises `RunnerFailed`."""
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
            helper.facts = await asyncio.wait_for(_first_words(ours), START_WITHIN)
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
            await asyncio.wait_for(self.process.wait(), LEAVE_WITHIN)
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
