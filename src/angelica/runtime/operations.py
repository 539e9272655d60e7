"""Operations: work over many things that one request asked for, with how far it has come; kept by this process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, Literal

from angelica.errors import NotFound

KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Operation:
    """`done` of `total` items are written, `skipped` stood already; `planned` is the answer of a dry run.

    Moments are microseconds. `detail` are JSON values that depend on the `kind`.
    """

    id: str
    kind: str
    state: Literal["planned", "running", "succeeded", "failed"]
    total: int
    done: int = 0
    skipped: int = 0
    created_at: int = 0
    finished_at: int | None = None
    error: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class Operations:
    """The latest operations of this process, by id; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, Operation] = OrderedDict()

    def keep(self, operation: Operation) -> Operation:
        """Remember an operation as it stands now; the oldest of too many is forgotten."""
        with self._lock:
            self._kept[operation.id] = operation
            self._kept.move_to_end(operation.id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return operation

    def get(self, operation_id: str) -> Operation:
        """Return an operation; raises `NotFound`."""
        with self._lock:
            found = self._kept.get(operation_id)
        if found is None:
            raise NotFound(f"there is no operation {operation_id[:200]!r}")
        return found
