"""Waking those who wait, here and in other processes: rings counted in a shared page, a datagram to who sleeps."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import mmap
import os
import socket
import tempfile
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from angelica.errors import StorageUnavailable
from angelica.storage.protocol import Topic

POLL: Final = 1.0
"""Seconds between looks at the file itself, while somebody waits: the net below the datagrams."""

_PAGE: Final = 4096
_COMMITS: Final = 0
_PLACES: Final = {topic: place for place, topic in enumerate(Topic, 1)}
_SLOT_SIZE: Final = 8  # room for two more topics
_FIRST_SLOT: Final = 128
_SLOTS: Final = (_PAGE - _FIRST_SLOT) // _SLOT_SIZE
_LONGEST_PATH: Final = 103  # sun_path is 104 bytes on macOS, 108 on Linux, with the closing NUL

Waiter = tuple[int, AbstractEventLoop, "Future[None]"]


class Ring:
    """The wake-ups of one open storage.

    The page `ring` has a count of commits, a count of rings for each topic, and a slot for each process that waits:
    in use, then a flag for each topic it waits for. Counts are changed with the writer's lock held. A ringer sends one
    datagram to each slot that waits and lowers its flags, so a burst of rings is one datagram.
    """

    def __init__(
        self, directory: Path, open_file: Callable[[str], int], connect: Callable[[], apsw.Connection]
    ) -> None:
        self._fd = open_file("ring")
        if os.fstat(self._fd).st_size < _PAGE:
            os.ftruncate(self._fd, _PAGE)
        self._page = mmap.mmap(self._fd, _PAGE)
        self._bytes = memoryview(self._page)
        self._words = self._bytes.cast("q")
        self._sockets = _socket_directory(directory)
        self._connect = connect
        self._sender: socket.socket | None = None
        self._receiver: socket.socket | None = None
        self._slot = -1
        self._missed = 0
        self._lock = threading.Lock()
        self._waiters: dict[Topic, list[Waiter]] = {topic: [] for topic in Topic}
        self._needed = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def mark(self, topic: Topic) -> int:
        """Return the count of rings of a topic, by whatever process."""
        return int(self._words[_PLACES[topic]]) + self._missed if not self._closed else 0

    def committed(self, topics: Iterable[Topic]) -> None:
        """Count a commit and its rings; called with the writer's lock held, so that no count is lost."""
        self._words[_COMMITS] += 1
        for topic in topics:
            self._words[_PLACES[topic]] += 1

    def ring(self, topics: Iterable[Topic]) -> None:
        """Wake who waits for these topics, here and in other processes."""
        self._wake()
        flags = [_PLACES[topic] for topic in topics]
        slots = bytes(self._bytes[_FIRST_SLOT:_PAGE]).rstrip(b"\0") + bytes(_SLOT_SIZE)
        for slot in range(len(slots) // _SLOT_SIZE):
            start = slot * _SLOT_SIZE
            if slots[start] and slot != self._slot and any(slots[start + flag] for flag in flags):
                for flag in flags:
                    self._bytes[_FIRST_SLOT + start + flag] = 0
                if not self._send(slot):
                    self._retire(slot)

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        """Return the count of a topic as soon as it exceeds `since`, or after `timeout` seconds."""
        if self._closed or self.mark(topic) > since:
            return self.mark(topic)
        loop = asyncio.get_running_loop()
        waiter: Waiter = (since, loop, loop.create_future())
        self._enlist(topic, waiter)
        # A ringer that looked before the flag was up has counted already.
        if self.mark(topic) > since:
            _end([waiter])
        alarm = loop.call_later(timeout, _end, [waiter])
        try:
            await waiter[2]
        finally:
            alarm.cancel()
            with self._lock, suppress(ValueError):
                self._waiters[topic].remove(waiter)
        return self.mark(topic)

    def close(self) -> None:
        """Let all who wait go, and take this process out of the page."""
        with self._lock:
            self._closed = True
            waiters = [waiter for some in self._waiters.values() for waiter in some]
        _resolve(waiters)
        self._needed.set()
        if self._thread is not None:
            self._send(self._slot)
            self._thread.join()
        for end in (self._receiver, self._sender):
            if end is not None:
                end.close()
        if self._slot >= 0:
            self._free(self._slot)
        self._words.release()
        self._bytes.release()
        self._page.close()
        os.close(self._fd)

    # --- those who wait ---

    def _enlist(self, topic: Topic, waiter: Waiter) -> None:
        with self._lock:
            if self._closed:
                raise StorageUnavailable("the storage is closed")
            if self._thread is None:
                self._register()
                self._thread = threading.Thread(target=self._listen, name="angelica-sqlite-ring", daemon=True)
                self._thread.start()
            self._waiters[topic].append(waiter)
            self._raise_flag(topic)
        if not self._needed.is_set():
            self._needed.set()

    def _raise_flag(self, topic: Topic) -> None:
        self._bytes[_FIRST_SLOT + self._slot * _SLOT_SIZE + _PLACES[topic]] = 1

    def _wake(self) -> None:
        """End the waits whose count has come; keep the flag up for the others."""
        due: list[Waiter] = []
        with self._lock:
            if self._closed:
                return
            for topic, waiters in self._waiters.items():
                if not waiters:
                    continue
                count = self.mark(topic)
                late = [waiter for waiter in waiters if waiter[0] < count]
                if late:
                    due += late
                    self._waiters[topic] = [waiter for waiter in waiters if waiter[0] >= count]
                if self._waiters[topic]:
                    self._raise_flag(topic)
        if due:
            _resolve(due)

    def _listen(self) -> None:
        """Wait for datagrams, and look at the file itself now and then; sleep for good while nobody waits."""
        receiver = self._receiver
        if receiver is None:
            return
        connection = self._connect()
        seen = (-1, -1)
        try:
            while not self._closed:
                self._needed.wait()
                try:
                    receiver.recv(8)
                except TimeoutError:
                    seen = self._look(connection, seen)
                    self._rest()
                self._wake()
        finally:
            connection.close()

    def _look(self, connection: apsw.Connection, seen: tuple[int, int]) -> tuple[int, int]:
        """Count a ring that was never rung: the file has changed, and none of us says so (or it died at once)."""
        try:
            now = (int(connection.pragma("data_version")), int(self._words[_COMMITS]))
        except apsw.Error:
            return seen  # the writer says what is wrong; a hint has nobody to tell
        if seen[0] not in {-1, now[0]} and seen[1] == now[1]:
            self._missed += 1
        return now

    def _rest(self) -> None:
        with self._lock:
            if not any(self._waiters.values()) and not self._closed:
                self._needed.clear()

    # --- the slots ---

    def _register(self) -> None:
        """Take a free slot, or one whose process is gone, and bind its socket."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            for slot in range(_SLOTS):
                if self._bytes[_FIRST_SLOT + slot * _SLOT_SIZE] and self._send(slot):
                    continue
                path = self._socket_path(slot)
                path.unlink(missing_ok=True)
                receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                receiver.settimeout(POLL)
                receiver.bind(str(path))
                self._receiver, self._slot = receiver, slot
                self._bytes[_FIRST_SLOT + slot * _SLOT_SIZE] = 1
                return
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        raise StorageUnavailable(f"more than {_SLOTS} processes wait on one file")

    def _send(self, slot: int) -> bool:
        """Send a datagram to a slot; False if nobody is there any more."""
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        try:
            self._sender.sendto(b"!", str(self._socket_path(slot)))
        except BlockingIOError:
            return True  # its box is full: it has enough to wake up for
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True

    def _retire(self, slot: int) -> None:
        """Free the slot of a process that has died; asked again under the lock, for another may just have taken it."""
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                if not self._send(slot):
                    self._free(slot)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _free(self, slot: int) -> None:
        start = _FIRST_SLOT + slot * _SLOT_SIZE
        self._bytes[start : start + _SLOT_SIZE] = bytes(_SLOT_SIZE)
        self._socket_path(slot).unlink(missing_ok=True)

    def _socket_path(self, slot: int) -> Path:
        return self._sockets / f"ring-{slot}"


def _socket_directory(directory: Path) -> Path:
    """Return a private directory whose socket paths the kernel takes: where the file is, or a short one for it."""
    here = directory.resolve()
    if len(os.fsencode(here / "ring-1000")) <= _LONGEST_PATH:
        return here
    name = f"angelica-{os.geteuid()}-{hashlib.sha256(os.fsencode(here)).hexdigest()[:16]}"
    short = Path(tempfile.gettempdir()) / name
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
    info = short.lstat()
    if info.st_uid != os.geteuid() or info.st_mode & 0o077 or short.is_symlink():
        raise StorageUnavailable(f"{short} must be a private directory of this user")
    return short


def _resolve(waiters: Iterable[Waiter]) -> None:
    """End waits of any loops, one trip to each."""
    by_loop: dict[AbstractEventLoop, list[Waiter]] = {}
    for waiter in waiters:
        by_loop.setdefault(waiter[1], []).append(waiter)
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed with its waiters
            loop.call_soon_threadsafe(_end, some)


def _end(waiters: Iterable[Waiter]) -> None:
    for _, _, future in waiters:
        if not future.done():
            future.set_result(None)
