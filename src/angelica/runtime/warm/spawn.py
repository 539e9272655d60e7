"""Spawning a warm child: a process of its own, which inherits its end of the line and nothing else."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from angelica.runtime.warm.blackbox import BlackBox
from angelica.runtime.warm.post import LINK_VARIABLE
from angelica.runtime.warm.tree import MARK

_ENTRY: Final = "import sys; sys.path.append(sys.argv.pop()); from angelica.cli.child import main; sys.exit(main())"
_ROOT: Final = str(Path(__file__).parents[3])


@dataclass(frozen=True, slots=True)
class Remains:
    """What a dead child has left: a signal (negative) or an exit code, and its use; None if others have reaped it."""

    returncode: int | None
    rusage: resource.struct_rusage | None


class Spawned:
    """A child process with the worker's end of the line: `link`, and both ends of the pipe of tokens.

    Start it on a thread that lives as long as the child shall: the kernel kills the child when that thread ends.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.box = BlackBox.make()
        self.link, theirs = socket.socketpair()
        self.tokens, self.giving = os.pipe()
        for each in (self.tokens, self.giving):
            os.set_blocking(each, False)
        inherited = (theirs.fileno(), self.tokens, self.box.words, self.box.faults)
        env = {**os.environ, MARK: mark, LINK_VARIABLE: ":".join(map(str, (*inherited, os.getpid())))}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _ENTRY, _ROOT],
                stdin=subprocess.DEVNULL,
                env=env,
                pass_fds=inherited,
                start_new_session=True,
            )
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.link.setblocking(False)  # noqa: FBT003 - takes no keyword
        self.handle = _open_handle(self.pid)

    def reap(self) -> Remains | None:
        """Return how it died, None while it lives. To be asked until it has answered once."""
        try:
            pid, status, rusage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._process.returncode = 0
            return Remains(None, None)
        if not pid:
            return None
        # Not by way of Popen, whose `wait` cannot tell what the child has used; it must know all the same.
        self._process.returncode = code = os.waitstatus_to_exitcode(status)
        return Remains(code, rusage)

    def signal_group(self, number: int) -> None:
        """Send a signal to the child and what it has started, those with a session of their own excepted."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def close_giving(self) -> None:
        """Give no more tokens: the child ends once it has none."""
        if self.giving >= 0:
            os.close(self.giving)
            self.giving = -1

    def close(self) -> None:
        """Close our end of the line."""
        self.close_giving()
        os.close(self.tokens)
        self.link.close()
        self.box.close()
        handle = getattr(self, "handle", None)
        if handle is not None:
            os.close(handle)


def _open_handle(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends, None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
