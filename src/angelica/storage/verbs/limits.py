"""Limits: what holds at gates, who counts at them, and freeing what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from angelica.clock import Now
from angelica.domain.breaker import NEW, Circuit
from angelica.domain.claims import rank_levels
from angelica.domain.gates import is_gate, parent_of
from angelica.domain.limits import EMPTY, Bucket, refund
from angelica.storage.breaker_rules import FREED, breaker_of, freed, is_breaker
from angelica.storage.fair_rules import is_tenant
from angelica.storage.limit_rules import VERSION, Doorway, Stored, changed, effective, governs, is_queue, with_parents
from angelica.storage.protocol import BreakerRow, LimitPut, LimitRow, Relieved, Topic
from angelica.storage.rows import from_json, to_json
from angelica.storage.verbs.breakers import breakers_of, list_breakers, put_breakers
from angelica.storage.verbs.fair import put_served
from angelica.storage.verbs.transaction import Freed, Statements, Transaction

_ALL = 1_000


async def put_limits(tx: Transaction, puts: Sequence[LimitPut], *, now: Now) -> None:
    """Change what holds at gates, as if one by one."""
    await tx.lock("limits", [VERSION])
    stored, _ = await _stored(tx, [put.gate for put in puts])
    before = dict(stored)
    for put in puts:
        declared, override = stored.get(put.gate, ({}, {}))
        if put.declared is not None:
            declared = dict(put.declared)
        if put.changes is not None:
            override = changed(override, put.changes, by=put.by, now=now)
        stored[put.gate] = declared, override
    rows = [(gate, *map(to_json, stored[gate])) for gate in stored if stored[gate] != before.get(gate, ({}, {}))]
    if rows:
        await tx.run("put_limits", to_json(rows))
        await _after(tx, now)


async def delete_limits(tx: Transaction, gates: Sequence[str], *, now: Now) -> tuple[bool, ...]:
    """Take back what operators have set."""
    await tx.lock("limits", [VERSION])
    stored, _ = await _stored(tx, gates)
    names = to_json(list(dict.fromkeys(gates)))
    await tx.run("clear_limits", names)
    await tx.run("forget_refunds", names)
    await tx.run("forget_begun", names)
    gone = {gate for gate, (_, override) in stored.items() if override}
    if gone:
        await _after(tx, now)
    answers = []
    for gate in gates:
        answers.append(gate in gone)
        gone.discard(gate)
    return tuple(answers)


async def list_limits(db: Statements) -> tuple[LimitRow, ...]:
    """Return all gates by name."""
    return tuple(
        LimitRow(gate, from_json(declared or "{}"), from_json(override or "{}"), running, bucket_of(bucket))
        for gate, declared, override, bucket, running in await db.rows("limits")
    )


async def meet(tx: Transaction, doorway: Doorway, names: Iterable[str]) -> None:
    """Let a claim know gates as they stand."""
    unknown = doorway.unknown(names)
    fuses = [name for name in unknown if is_breaker(name)]
    if fuses:
        breakers = await breakers_of(tx, [breaker_of(name) for name in fuses])
        for name in fuses:
            doorway.meet_breaker(name, breakers.get(breaker_of(name), NEW))
        unknown = [name for name in unknown if not is_breaker(name)]
    if not unknown:
        return
    stored, buckets = await _stored(tx, with_parents(unknown))
    settings = {name: effective(stored.get(name), stored.get(parent_of(name) or "")) for name in unknown}
    shut = [name for name in unknown if settings[name].gates]
    running: dict[str, int] = {}
    if shut:
        running = dict(await tx.rows("count_passes", to_json(shut)))
        await _take_refunds(tx, shut, buckets)
    for name in unknown:
        doorway.meet(name, settings[name], buckets.get(name, EMPTY), running.get(name, 0))


async def close(tx: Transaction, doorway: Doorway, *, now: Now) -> None:
    """Write down who has passed which gate in a claim, and let others go on."""
    if doorway.passes:
        await _put_passes(tx, doorway.passes)
    await put_buckets(tx, doorway.charged())
    await put_breakers(tx, doorway.tried())
    await put_served(tx, doorway)
    if doorway.wake:
        await refill(tx, doorway.wake, now=now)


async def leave(tx: Transaction, ended: Sequence[str], released: Collection[str]) -> None:
    """Count attempts that have ended no more; those of `released` count for no rate either.

    `tx.left` says where, but for gates at which nobody waits to be let go.
    """
    if not ended or not await tx.value("any_passes"):
        return
    names = to_json(ended)
    passes = await tx.rows("passes_of", names)
    if not passes:
        return
    tx.left.update(gate for gate, _, _ in passes if not is_tenant(gate))
    back = [(gate, task_id) for gate, task_id, at in passes if at is not None and task_id in released]
    if back:
        await tx.run("refund_passes", to_json(back))
    await tx.run("delete_passes", names)


async def refill(tx: Transaction, wanted: Mapping[str, int], *, now: Now) -> int:
    """Free held tasks of gates, up to `wanted` of each and as far as it lets them; return how many."""
    doorway = Doorway(now)
    await meet(tx, doorway, wanted)
    rooms = {}
    for gate in sorted(wanted):
        known = doorway.known[gate]
        room = wanted[gate] if known is None else min(known.room(now), wanted[gate])
        if room > 0:
            rooms[gate] = room
    if any(is_queue(gate) for gate in rooms):
        tx.topics.add(Topic.READY)
    held = [gate for gate in rooms if not is_queue(gate)]
    levels: dict[str, list[tuple[int, int]]] = {}
    for gate, priority, oldest in await tx.rows("held_levels", to_json(held)) if held else ():
        levels.setdefault(gate, []).append((priority, oldest))
    free = [row for gate in levels for row in await _first(tx, gate, levels[gate], rooms[gate], now)]
    if free:
        await tx.run("unpark", to_json([row[:2] for row in free]))
        tx.freed += free
        tx.topics.add(Topic.READY)
    return len(free)


async def relieve(tx: Transaction, *, now: Now, limit: int) -> Relieved:
    """Count who runs, free who may go on, and say when the next rate allows more."""
    if await tx.value("meta", VERSION) is None:
        return Relieved(0, None)
    await tx.lock("limits", [VERSION])
    await _recount(tx, now)
    held = [rule for rule in await tx.rows("held_rules") if is_gate(rule)]
    gates = [*held, *await tx.rows("rated_queues")]
    wanted = {gate: FREED if is_breaker(gate) else limit for gate in gates}
    count = await refill(tx, wanted, now=now)
    doorway = Doorway(now)
    await meet(tx, doorway, gates)
    moments = [gate.frees_at(now) for gate in doorway.known.values() if gate is not None]
    return Relieved(count, min((moment for moment in moments if moment is not None), default=None))


async def force_breaker(
    tx: Transaction, *, name: str, circuit: Circuit | None, now: Now, by: str, reason: str
) -> BreakerRow:
    """Write what an operator sets a breaker to, and free what may go on."""
    await tx.lock("limits", [VERSION])
    before = (await breakers_of(tx, [name])).get(name, NEW)
    after = before.force(circuit, now, by=by, reason=reason)
    await put_breakers(tx, {name: after})
    await refill(tx, freed({name: before}, {name: after}, now=now), now=now)
    return next(row for row in await list_breakers(tx) if row.name == name)


async def passes_apart(db: Statements) -> list[str]:
    """Return in plain words which running tasks count at gates and should not, or the other way round."""
    rows = {row.gate: (row.declared, row.override) for row in await list_limits(db)}
    missing = Counter([gate for gate, _ in await db.rows("missing_passes") if governs(gate, rows)])
    said = [f"{n} running tasks do not count at the limit {gate}" for gate, n in sorted(missing.items())]
    stale = int(await db.value("stale_passes"))
    return [*said, f"{stale} tasks count at limits and do not run"] if stale else said


async def put_buckets(tx: Transaction, buckets: Mapping[str, Bucket]) -> None:
    """Write counters of rates."""
    if buckets:
        await tx.run("put_buckets", to_json([(gate, bucket_text(bucket)) for gate, bucket in buckets.items()]))


def bucket_text(bucket: Bucket) -> str:
    """Return the stored text of a counter."""
    return to_json([bucket.width, bucket.counts])


def bucket_of(text: str | None) -> Bucket:
    """Return the counter of a stored text."""
    if text is None:
        return EMPTY
    width, counts = from_json(text)
    return Bucket(width, tuple((part, n) for part, n in counts))


async def _stored(tx: Transaction, gates: Iterable[str]) -> tuple[dict[str, Stored], dict[str, Bucket]]:
    rows = await tx.rows("limits_of", to_json(list(dict.fromkeys(gates))))
    stored = {gate: (from_json(declared), from_json(override)) for gate, declared, override, _ in rows}
    return stored, {gate: bucket_of(bucket) for gate, _, _, bucket in rows if bucket is not None}


async def _take_refunds(tx: Transaction, gates: Sequence[str], buckets: dict[str, Bucket]) -> None:
    names = to_json(gates)
    back: list[tuple[str, int]] = [(gate, at) for gate, at in await tx.rows("refunds_of", names) if gate in buckets]
    for gate, at in back:
        buckets[gate] = refund(buckets[gate], at)
    if back:
        await put_buckets(tx, {gate: buckets[gate] for gate, _ in back})
        await tx.run("forget_refunds", names)


async def _first(tx: Transaction, gate: str, levels: Sequence[tuple[int, int]], count: int, now: Now) -> list[Freed]:
    """Return the first tasks that a gate holds, in the order of claim."""
    found: list[Freed] = []
    for _, priority in rank_levels([("", *level) for level in levels], now=now):
        if len(found) < count:
            found += [Freed(*row) for row in await tx.rows("held_rows", gate, priority, count - len(found))]
    return found


async def _recount(tx: Transaction, now: Now) -> None:
    """Count the running tasks at gates that limit something only since they began, and no others."""
    await tx.run("drop_passes")
    missing = await tx.rows("missing_passes")
    if missing:
        doorway = Doorway(now)
        await meet(tx, doorway, [gate for gate, _ in missing])
        rows = [(gate, task_id, None) for gate, task_id in missing if doorway.known[gate] is not None]
        if rows:
            await _put_passes(tx, rows)


async def _put_passes(tx: Transaction, rows: Sequence[tuple[str, str, int | None]]) -> None:
    await tx.run("put_passes", to_json(rows))
    tx.counted.update(task_id for _, task_id, _ in rows)


async def _after(tx: Transaction, now: Now) -> None:
    edition = await tx.value("meta", VERSION)
    await tx.run("put_meta", VERSION, str(int(edition or 0) + 1))
    tx.topics.add(Topic.READY)
    await relieve(tx, now=now, limit=_ALL)
