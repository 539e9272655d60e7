"""What the supervisor's children have in common: a signal that hastens the end must not spoil an end in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from angelica.runtime.childlink import LINK_VARIABLE

CHILD = """
import asyncio, os, signal, sys
from angelica.cli.process import Lifetime, run_process
from angelica.cli.state import GlobalOptions

def again():
    os.kill(os.getpid(), signal.SIGTERM)
    sys.stdout.write("outlived it\\n")

async def body(link):
    lifetime = Lifetime(link)
    loop = asyncio.get_running_loop()
    if {when!r} == "closed":
        close = loop.close
        loop.close = lambda: (close(), again())
    os.kill(os.getpid(), signal.SIGTERM)
    await lifetime.stop.wait()
    assert not lifetime.hasten.is_set()
    if {when!r} == "stopping":
        again()
        await lifetime.hasten.wait()
    return 7

code = run_process(body, GlobalOptions())
if {when!r} == "leaving":
    again()
sys.exit(code)
"""


def outcome(when: str, *, supervised: bool) -> tuple[int, str]:
    """Run the child, which gets a second SIGTERM at a moment of its end; return its return code and output."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        env = {**os.environ, LINK_VARIABLE: f"{theirs.fileno()}:{os.getpid()}"} if supervised else None
        done = subprocess.run(
            [sys.executable, "-c", CHILD.format(when=when)],
            env=env,
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    return done.returncode, done.stdout


@pytest.mark.parametrize("when", ["stopping", "closed", "leaving"])
def test_a_second_signal_does_not_kill_a_child_that_ends_in_order(when: str) -> None:
    assert outcome(when, supervised=True) == (7, "outlived it\n")


def test_without_a_supervisor_a_signal_still_ends_a_process_whose_loop_is_over() -> None:
    assert outcome("leaving", supervised=False) == (-signal.SIGTERM, "")
