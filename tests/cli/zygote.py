"""A process that has the command line imported, and forks one for each call: the imports are most of what a call costs.

What is forked is a process of its own, with the arguments, the environment, the directory and the three files that it
is given, and one thread. It is started with a socket as its standard input; see `Zygote`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

LONGEST: Final = 1 << 20
PRELOADED: Final = ("angelica.engine", "angelica.storage.sqlite.adapter", "angelica.storage.postgres.adapter", "httpx2")


class Zygote:
    """The caller's side."""

    def __init__(self, environment: dict[str, str]) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = [sys.executable, "-m", __name__]
            root = str(Path(__file__).parents[2])
            paths = os.pathsep.join([environment["PYTHONPATH"], root])
            self._process = subprocess.Popen(command, stdin=its, env={**environment, "PYTHONPATH": paths}, cwd=root)
        self._socket = ours

    def run(
        self, arguments: tuple[str, ...], *, cwd: Path, env: dict[str, str], stdin: str, timeout: float = 60.0
    ) -> tuple[int, str, str]:
        """Return the exit code, and what came out; raises `subprocess.TimeoutExpired`."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            told = json.dumps([arguments, str(cwd), env]).encode()
            assert len(told) < LONGEST
            socket.send_fds(self._socket, [told], [given.fileno(), out.fileno(), err.fileno()])
            pid = int(self._socket.recv(LONGEST))
            self._socket.settimeout(timeout)
            try:
                code = int(self._socket.recv(LONGEST))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._socket.recv(LONGEST)
                raise subprocess.TimeoutExpired(["angelica", *arguments], timeout) from None
            finally:
                self._socket.settimeout(None)
            out.seek(0)
            err.seek(0)
            return code, out.read().decode(), err.read().decode()

    def close(self) -> None:
        """End it: it reads the end of the socket."""
        self._socket.close()
        self._process.wait(10)


def main() -> None:
    """Serve one call after the other until the socket ends."""
    import importlib  # noqa: PLC0415 - only here: the caller imports this module too

    from angelica.cli import main as command_line  # noqa: PLC0415
    from angelica.cli.root import COMMANDS  # noqa: PLC0415

    for name in (*PRELOADED, *(module for module, _ in COMMANDS.values())):
        importlib.import_module(name)
    asked = socket.socket(fileno=os.dup(0))
    while True:
        told, files, _, _ = socket.recv_fds(asked, LONGEST, 3)
        if not told:
            return
        pid = os.fork()
        if pid == 0:
            asked.close()
            _become(told, files)
            command_line()
            return
        for file in files:
            os.close(file)
        asked.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        asked.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(told: bytes, files: list[int]) -> None:
    arguments, cwd, environment = json.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(cwd)
    sys.argv = ["angelica", *arguments]
    sys.path[0] = cwd  # as `python -m` has it


if __name__ == "__main__":
    main()
