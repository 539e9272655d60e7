"""Who a process is: its pid with the moment it began, and whether it lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from angelica.runtime.identity import host_name, lives, pid_started


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_we_live_and_our_beginning_stays_the_same():
    pid = os.getpid()
    assert host_name()
    assert pid_started(pid) == pid_started(pid)
    assert lives(pid, pid_started(pid))


def test_a_child_lives_until_it_ends_and_a_zombie_is_dead(child):
    started = pid_started(child.pid)
    assert lives(child.pid, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has collected it yet
    assert not lives(child.pid, started)
    child.wait()
    assert not lives(child.pid, started)
    assert pid_started(child.pid) == 0


def test_a_reused_pid_is_somebody_else(child):
    assert not lives(child.pid, pid_started(child.pid) + 1)


def test_a_name_with_spaces_and_brackets_is_read_past(tmp_path):
    program = tmp_path / "a) (b"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert abs(pid_started(process.pid) - pid_started(os.getpid())) < 10**9
        assert lives(process.pid, pid_started(process.pid))
    finally:
        process.kill()
        process.communicate()
