"""Breakers: what ended attempts make of them, and what is stored of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelica.clock import Now
from angelica.domain.breaker import Breaker, from_form, to_form
from angelica.domain.lifecycle import Completion
from angelica.storage.breaker_rules import freed, recorded, uses_of
from angelica.storage.limit_rules import VERSION
from angelica.storage.protocol import BreakerRow
from angelica.storage.rows import from_json, to_json
from angelica.storage.verbs.transaction import Statements, Transaction


async def record_calls(tx: Transaction, ends: Sequence[Completion], *, now: Now) -> None:
    """Let accepted ends tell of the downstreams that they used; the caller holds the lock of the limits."""
    before = await breakers_of(tx, uses_of(ends))
    after = recorded(before, ends, now=now)
    await put_breakers(tx, {name: breaker for name, breaker in after.items() if breaker != before.get(name)})
    for gate, count in freed(before, after, now=now).items():
        tx.left[gate] = max(tx.left[gate], count)


async def breakers_of(db: Statements, names: Sequence[str]) -> dict[str, Breaker]:
    """Return the breakers of these names that are stored."""
    return {name: breaker_from(text) for name, text in await db.rows("breakers_of", to_json(list(names)))}


async def put_breakers(tx: Transaction, breakers: Mapping[str, Breaker]) -> None:
    """Write breakers; the first one makes it known to all claims that there are gates to ask."""
    if not breakers:
        return
    await tx.run("put_breakers", to_json([(name, to_json(to_form(each))) for name, each in breakers.items()]))
    if await tx.value("meta", VERSION) is None:
        await tx.run("put_meta", VERSION, "1")


async def list_breakers(db: Statements) -> tuple[BreakerRow, ...]:
    """Return all breakers by name."""
    return tuple(BreakerRow(name, breaker_from(text), held) for name, text, held in await db.rows("breakers"))


def breaker_from(text: str) -> Breaker:
    """Return the breaker of a stored text."""
    return from_form(from_json(text))
