"""What a move carries over: tables, their keys and columns in the form that all SQL adapters share, and checksums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

Row = tuple[Any, ...]
"""The values of a row in the order of the table's columns: texts, whole numbers (0 and 1 for flags) and None."""

SUM: Final = 1 << 64
"""Checksums are sums of 64-bit hashes of rows: the order in which rows come does not matter."""

ENDED: Final = ("succeeded", "failed", "cancelled")
"""The states of ended tasks, in the order in which the index of them has them: SQLite's planner goes by the letter."""

_encode: Final = msgspec.json.Encoder().encode
_NUL: Final = b"\\u0000"


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `flags` are columns of which a database may make booleans."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    flags: frozenset[str] = frozenset()

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """Return the key of a row."""
        return tuple(row[self.columns.index(name)] for name in self.key)


def _table(name: str, key: str, rest: str, flags: str = "") -> Table:
    return Table(name, tuple(key.split()), (*key.split(), *rest.split()), frozenset(flags.split()))


TASKS: Final = _table(
    "tasks",
    "id",
    "function version queue executor priority state held run_at asked_at created_at attempt failures crashes revision "
    "worker cancel_requested cancel_reason started_at finished_at retain_until unique_key unique_spec expires_at "
    "deadline parent_id retry_of trace_id payload policy extras result error checkpoint progress usage",
    flags="cancel_requested",
)
QUEUE: Final = TASKS.columns.index("queue")
STATE: Final = TASKS.columns.index("state")
EXTRAS: Final = TASKS.columns.index("extras")

PARTS: Final = (
    _table("labels", "task_id name", "value"),
    _table("attempts", "task_id attempt", "outcome worker started_at finished_at error usage"),
    _table("logs", "task_id attempt seq", "at stream level logger message"),
)
"""What belongs to a task and goes with it; each key begins with the task's id."""

RUNS: Final = _table("runs", "place", "schedule_id task_id waits_for")
REST: Final = (
    _table("functions", "name", "version executor schema defaults doc seen_at"),
    _table(
        "schedules",
        "id",
        "phase phase_reason next_fire_at last_fire_at version runs streak rearms runs_seen keep_fires delete_at "
        "paused_at function owner anchor created_at updated_at seen_at tz_version trigger_spec run rules declared "
        "override",
        flags="rearms",
    ),
    _table("tombstones", "schedule_id", "deleted_at"),
    _table("fires", "schedule_id fire_time slot", "kind task_id reason last count recorded_at keep_until"),
    RUNS,
    _table("limits", "gate", "declared override bucket"),
    _table("passes", "gate task_id", "at refund", flags="refund"),
    _table("breakers", "name", "state"),
    _table("tenants", "gate", "served"),
    _table("requests", "principal key", "route digest answer expires_at"),
)
"""What is copied as a whole while the source is fenced."""

TABLES: Final = (TASKS, *PARTS, *REST)

WORKERS: Final = _table("workers", "id", "host boot lease_until seen_at info control")
"""Not carried over as it is: leases are moments of the store's clock, see `mover.py`."""


def checksum(rows: Sequence[Row]) -> int:
    """Return the sum of the hashes of rows, the same for each way in which an adapter keeps them."""
    total = 0
    for row in rows:
        text = _encode(row)
        if _NUL in text:  # PostgreSQL keeps a NUL written out
            text = _encode([value.replace("\0", "\\x00") if isinstance(value, str) else value for value in row])
        total += int.from_bytes(blake2b(text, digest_size=8).digest())
    return total % SUM


def has_nul(rows: Sequence[Row]) -> bool:
    """Whether there may be a NUL in one of the texts."""
    return _NUL in _encode(rows)
