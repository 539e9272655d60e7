"""The start file: which attempts a worker has really begun, kept where a `kill -9` of the worker cannot lose it.

A claim takes more tasks than run at once. When the worker dies, only those whose handler had begun may be blamed;
the file tells them apart. It is a shared mapping: a store into it is in the kernel's page cache at once and outlives
the process (not the machine, which is enough: another boot voids every lease anyway).

Layout, little-endian, fixed when the file is made:

    0    8   magic `ANGSTART`
    8    1   version, 1
    9    1   1 once an attempt found no room
    12   4   number of slots, n
    64   n   one state byte a slot: 0 free, 1 begun, 2 held (claimed, not begun), 3 ended (not yet stored)
    64+n 1   scratch byte: the slot of attempts that found no room
    then n records of 144 bytes, ASCII: attempt (11 wide), a space, task id, padded with spaces
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from angelica.domain.task import Lease

FREE: Final = 0
BEGUN: Final = 1
HELD: Final = 2
ENDED: Final = 3

_MAGIC: Final = b"ANGSTART"
_VERSION: Final = 1
_OVERFLOW: Final = 9
_HEADER: Final = 64
_RECORD: Final = 144


@dataclass(frozen=True, slots=True)
class Started:
    """What a start file says: attempts whose handler was running, and those that had ended but were not stored.

    `full` means that some attempts found no room and are not listed.
    """

    running: frozenset[Lease] = frozenset()
    ended: frozenset[Lease] = frozenset()
    full: bool = False


class StartFile:
    """The writer's side; one per worker process, used from one thread at a time.

    A slot number is the offset of its state byte in `mm`, so the hot path may store `BEGUN` and `ENDED` itself:
    `mm[slot] = BEGUN`. The mapping is sparse: slots that are never used cost neither memory nor disk.
    """

    __slots__ = ("_path", "_records", "_scratch", "mm", "slots")

    def __init__(self, path: str | os.PathLike[str], slots: int = 4096) -> None:
        self._path = Path(path)
        self.slots = slots
        self._scratch = _HEADER + slots
        self._records = self._scratch + 1
        size = self._records + slots * _RECORD
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self.mm = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.mm[:16] = _MAGIC + bytes((_VERSION, 0, 0, 0)) + slots.to_bytes(4, "little")

    @property
    def path(self) -> Path:
        return self._path

    def hold(self, leases: Sequence[Lease]) -> list[int]:
        """Take a slot for each claimed lease; the slots answer the leases position by position.

        Lowest slots first. Where none is free the scratch slot is answered: storing into it is harmless, and the
        attempt is judged by what the heartbeat reported.
        """
        count = len(leases)
        if not count:
            return []
        first = self.mm.find(bytes(count), _HEADER, self._scratch)
        if first < 0:
            return [self._hold_one(lease) for lease in leases]
        records = "".join([f"{attempt:>11} {task_id:<132}" for task_id, attempt in leases]).encode("ascii")
        at = self._records + (first - _HEADER) * _RECORD
        self.mm[at : at + len(records)] = records
        self.mm[first : first + count] = bytes((HELD,)) * count  # last, so that a torn record is never believed
        return list(range(first, first + count))

    def _hold_one(self, lease: Lease) -> int:
        slot = self.mm.find(b"\0", _HEADER, self._scratch)
        if slot < 0:
            self.mm[_OVERFLOW] = 1
            return self._scratch
        at = self._records + (slot - _HEADER) * _RECORD
        self.mm[at : at + _RECORD] = f"{lease.attempt:>11} {lease.task_id:<132}".encode("ascii")
        self.mm[slot] = HELD
        return slot

    def begin(self, slot: int) -> None:
        """Note that the handler begins."""
        self.mm[slot] = BEGUN

    def end(self, slot: int) -> None:
        """Note that the handler has ended; its completion is not stored yet."""
        self.mm[slot] = ENDED

    def free(self, slots: Iterable[int]) -> None:
        """Give slots back: their completions are stored, or their leases are gone."""
        mm = self.mm
        for slot in slots:
            mm[slot] = FREE

    def close(self, *, remove: bool = True) -> None:
        """Unmap, and by default remove the file: a worker that ends well leaves nothing to judge."""
        self.mm.close()
        if remove:
            with suppress(FileNotFoundError):
                self._path.unlink()


def read_start_file(path: str | os.PathLike[str]) -> Started | None:
    """Return what the start file of a dead worker says, or None if it is not there or not readable."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    if len(data) < _HEADER or data[:8] != _MAGIC or data[8] != _VERSION:
        return None
    slots = int.from_bytes(data[12:16], "little")
    records = _HEADER + slots + 1
    if len(data) < records + slots * _RECORD:
        return None
    found: dict[int, set[Lease]] = {BEGUN: set(), ENDED: set()}
    for slot, state in enumerate(data[_HEADER : _HEADER + slots]):
        if state in found:
            record = data[records + slot * _RECORD : records + (slot + 1) * _RECORD]
            with suppress(ValueError):
                attempt, task_id = record.decode("ascii").split()
                found[state].add(Lease(task_id, int(attempt)))
    return Started(frozenset(found[BEGUN]), frozenset(found[ENDED]), full=bool(data[_OVERFLOW]))


def read_started(path: str | os.PathLike[str]) -> set[Lease]:
    """Return the attempts whose handler was running when the worker died; empty if the file cannot be read."""
    started = read_start_file(path)
    return set(started.running) if started else set()
