"""The whole of a store in canonical form, as a side of a move reads it: what must be the same before and after."""

from __future__ import annotations

from typing import Any

from angelica.storage.move.plan import TABLES
from angelica.storage.move.sides import Side


async def dump(side: Side) -> dict[str, Any]:
    """All rows of all tables in order of their keys, NUL written out, and what the counters say."""
    found: dict[str, Any] = {}
    for table in TABLES:
        rows, after = [], None
        while page := await side.page(table, after, 7):
            rows += [_plain(row) for row in page]
            after = table.key_of(page[-1])
        found[table.name] = rows
    found["counters"] = dict(await side.counts())
    found["counted"] = dict(await side.counted())
    return found


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.replace("\0", "\\x00") if isinstance(value, str) else value for value in row)
