"""The launch of a command: what happens between the fork and the exec, in a process that has one thread."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

from angelica.runtime.limits.files import write
from angelica.runtime.limits.handle import Handle

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_REPORT: Final = 3  # where the child says what failed; closed by the exec
_HIGHEST: Final = 1 << 16  # all of ours are closed by the exec; this is the net for what a library left open
_SACRIFICE: Final = "500"  # of 1000: when the machine has no memory left, a command goes before its worker

_libc: Final = ctypes.CDLL(None, use_errno=True)


class NotStarted(Exception):
    """The command could not be started; the text says at which step and why."""


class Launch(NamedTuple):
    """What to run: the program with its arguments and environment, in a directory, as (uid, gid) or as we are."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    owner: tuple[int, int] | None


class Started(NamedTuple):
    """A running command: the pid, which is its session and its group too, and where its output comes from."""

    pid: int
    stdout: int
    stderr: int


def become_subreaper() -> None:
    """Become the parent of every descendant that loses its own: whoever leaves the tree lands here."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def launch(what: Launch, handle: Handle) -> Started:
    """Fork and exec; raises `NotStarted`, then nothing of it runs. Only for a process with one thread."""
    out_reader, out_writer = os.pipe()
    err_reader, err_writer = os.pipe()
    report_reader, report_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(what, handle, out_writer, err_writer, report_writer)
    for descriptor in (out_writer, err_writer, report_writer):
        os.close(descriptor)
    report = b""
    while more := os.read(report_reader, 4096):
        report += more
    os.close(report_reader)
    if report:
        os.waitpid(pid, 0)
        os.close(out_reader)
        os.close(err_reader)
        raise NotStarted(report.decode("utf-8", "replace"))
    return Started(pid, out_reader, err_reader)


def _become(what: Launch, handle: Handle, stdout: int, stderr: int, report: int) -> NoReturn:
    """Turn into the command."""
    step = "start"
    try:
        # High enough that none of the three is overwritten before it has been copied.
        report = os.dup2(report, 64, inheritable=False)
        steps: dict[str, Callable[[], object]] = {
            "signals": _reset_signals,
            "session": os.setsid,
            "limits": handle.enter,
            "directory": lambda: _settle(what.cwd),
            "output": lambda: _redirect(stdout, stderr),
            "user": lambda: _drop(what.owner),
            "privileges": _renounce,
        }
        for step, act in steps.items():  # noqa: B007 - told if it fails
            act()
        step = what.argv[0]
        report = os.dup2(report, _REPORT, inheritable=False)
        os.closerange(_REPORT + 1, _HIGHEST)
        os.execve(what.argv[0], list(what.argv), dict(what.env))  # noqa: S606 - an absolute program, no shell
    except BaseException as error:  # noqa: BLE001 - this is a copy of the keeper: it must not go on as one
        text = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        with suppress(OSError):
            os.write(report, f"{step}: {text}".encode()[:4000])
    os._exit(127)


def _reset_signals() -> None:
    """Give back what Python has set: a program that ignores SIGPIPE writes into the void for ever."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _settle(cwd: str) -> None:
    with suppress(OSError):  # no /proc, or lower already
        write("/proc/self/oom_score_adj", _SACRIFICE)
    os.umask(0o077)
    os.chdir(cwd)


def _redirect(stdout: int, stderr: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)


def _drop(owner: tuple[int, int] | None) -> None:
    if owner is None:
        return
    uid, gid = owner
    os.setgroups([])  # before the uid: afterwards there is no right to
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid) or os.getgroups():
        raise PermissionError("kept rights of another user")


def _renounce() -> None:
    with suppress(OSError):  # a kernel before 4.3
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # Last: a change of the user takes it back. The keeper's death must not leave the program alone.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    # The rest must be 0 in all 64 bits, or the kernel refuses; a plain int fills 32 of them.
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
