"""The helper: one small process beside a worker that forks a keeper for each command.

A fork of the worker itself would be a fork of many threads, and its commands would inherit the worker's peak of memory
in what `wait4` says of them. This process is small, has one thread, no secrets in its environment and no file of the
store open. It leaves when the worker does; so do its keepers, each of which has a line of its own to the worker.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Final, NoReturn

from angelica.clock import tick_micros
from angelica.runtime.commands.frames import pack
from angelica.runtime.commands.keeper import keep
from angelica.runtime.commands.launch import become_subreaper
from angelica.runtime.commands.place import open_base, sweep
from angelica.runtime.limits import proc
from angelica.runtime.limits.handle import GONE_WITHIN
from angelica.runtime.limits.machine import NOTHING, Machine, probe

_MOST_LINES: Final = 64
_PAUSE: Final = 0.003


def main() -> None:
    """Serve on the socket whose descriptor is the first argument.

    The second is the directory for places, the third `groups` or `no-groups`, the fourth the worker's process id.
    """
    channel = socket.socket(fileno=int(sys.argv[1]))
    # A session of its own: a kill of the worker's group must not come before its keepers have cleaned up.
    os.setsid()
    os.umask(0o077)
    become_subreaper()
    # A service manager that stops the worker may tell every process of it. We leave when the worker has, not before.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        worker = _watch(int(sys.argv[4]))
    except ProcessLookupError:
        return
    try:
        open_base(sys.argv[2])
        swept = sweep(sys.argv[2])
    except OSError as error:
        channel.sendall(pack({"failed": f"{sys.argv[2]}: {error.strerror}"}))
        return
    machine = probe() if sys.argv[3] == "groups" else NOTHING
    channel.sendall(pack({"means": machine.means(), "notes": list(machine.notes), "swept": swept}))
    Helper(channel, machine, worker).run()


def _watch(worker: int) -> int | None:
    """Return a descriptor that becomes readable when the worker ends, None on a kernel before 5.3.

    The end of the channel tells it too, unless a process that the worker has forked holds a copy. A death signal
    would tell it also when only the thread ends that started us.
    """
    try:
        descriptor = os.pidfd_open(worker)
    except ProcessLookupError:
        raise
    except OSError:
        return None
    if os.getppid() != worker:  # it has gone, and another has its number
        raise ProcessLookupError
    return descriptor


class Helper:
    """Forks a keeper for each line that comes over the channel, and buries the keepers."""

    def __init__(self, channel: socket.socket, machine: Machine, worker: int | None) -> None:
        self._channel = channel
        self._machine = machine
        self._worker = worker
        self._keepers: set[int] = set()
        self._wakes, self._woken = socket.socketpair()

    def run(self) -> None:
        """Serve until the worker closes the channel."""
        for end in (self._wakes, self._woken):
            end.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wakes, selectors.EVENT_READ)
            if self._worker is not None:
                selector.register(self._worker, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wakes:
                        self._reap()
                    elif key.fileobj is not self._channel or not self._take():
                        return

    def _take(self) -> bool:
        """Fork a keeper for each line that was handed over; return whether the worker is still there."""
        try:
            data, lines, _, _ = socket.recv_fds(self._channel, _MOST_LINES, _MOST_LINES)
        except ConnectionResetError:
            return False
        for line in lines:
            pid = os.fork()
            if pid == 0:
                _be_keeper(socket.socket(fileno=line), self)
            self._keepers.add(pid)
            os.close(line)
        return bool(data)

    def keep(self, line: socket.socket) -> None:
        """Serve a command; in a fork."""
        # With a copy of the channel here, the worker would not see that the helper has died.
        for end in (self._channel, self._wakes, self._woken):
            end.close()
        keep(line, self._machine, self._worker)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._wakes.recv(4096)
        if self._bury():
            self._end_orphans()

    def _bury(self) -> bool:
        """Bury the dead; return whether a keeper was among them that had not left by itself."""
        killed = False
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                killed = killed or (ended[0] in self._keepers and ended[1] != 0)
                self._keepers.discard(ended[0])
        return killed

    def _end_orphans(self) -> None:
        """End what a killed keeper left: all that has become ours and is neither a keeper nor below one."""
        ends_at = tick_micros() + GONE_WITHIN
        while tick_micros() < ends_at:
            orphans = set(proc.family(os.getpid()))
            for keeper in self._keepers:
                orphans -= {keeper, *proc.family(keeper)}
            if not orphans:
                return
            for pid in orphans:
                proc.send(pid, signal.SIGKILL)
            select.select([], [], [], _PAUSE)
            self._bury()


def _be_keeper(channel: socket.socket, helper: Helper) -> NoReturn:
    """Be a keeper to the end of this process."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        helper.keep(channel)
        status = 0
    except BaseException:  # noqa: BLE001 - this is a copy of the helper: it must not go on as one
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
