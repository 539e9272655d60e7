"""What is left of servers when those who started them are gone; as a program, the guard of one test session.

The guard waits until pytest has ended, however it ended, and then stops and removes what it did not: a server that
nobody stops would keep its memory and its port on the machine for good.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 10.0
PID_FILES = ("data/postmaster.pid", "pgbouncer.pid")


def sweep(session: Path) -> None:
    """Stop every server of a session and remove its directory."""
    for place in session.glob("*/"):
        remove(place)
    deadline = time.monotonic() + PATIENCE
    while session.exists() and time.monotonic() < deadline:  # a process on its way out may still write
        shutil.rmtree(session, ignore_errors=True)


def remove(directory: Path) -> None:
    """Stop the server in `directory`, whoever started it, and remove all that is left of it."""
    for name in PID_FILES:
        lines = read(directory / name)
        if lines:
            _end(int(lines[0]), directory)
            _forget_memory(lines)
    shutil.rmtree(directory, ignore_errors=True)


def pid_file(data: Path) -> list[str]:
    """The lines of postmaster.pid: process id, directory, start, port, socket, address, memory, state."""
    return read(data / "postmaster.pid")


def read(path: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.read_text("utf-8").splitlines()
    return []


def _end(pid: int, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    sent = None
    while str(directory) in command_of(pid):  # else it is over, and its number perhaps another's by now
        number = signal.SIGQUIT if time.monotonic() < deadline else signal.SIGKILL
        if number is not sent:
            sent = number
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.02)


def command_of(pid: int) -> str:
    """The command line of a process; empty where there is none, or only what its parent has not waited for."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def birth_of(pid: int) -> str:
    """When a process began, which tells it from another that has its number later; empty where there is none."""
    if Path("/proc/self/stat").exists():
        with suppress(OSError):
            state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            return "" if state == "Z" else fields[18]
        return ""
    return subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def _forget_memory(lines: list[str]) -> None:
    """Give back the few bytes of System V memory that a killed server could not; one that was stopped has."""
    tool = shutil.which("ipcrm")
    if tool is not None and len(lines) > 6 and lines[6].split():
        subprocess.run([tool, "-m", lines[6].split()[-1]], capture_output=True, check=False)


def guard(pytest: int, session: Path) -> None:
    """Wait for the end of the process `pytest`, then sweep, unless it did so itself."""
    born = birth_of(pytest)
    while session.exists() and birth_of(pytest) == born:
        time.sleep(0.25)
    sweep(session)


if __name__ == "__main__":
    guard(int(sys.argv[1]), Path(sys.argv[2]))
