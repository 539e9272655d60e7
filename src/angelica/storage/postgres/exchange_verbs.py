"""The PostgreSQL storage's `exchange`: one statement where it can be, transactions where there is more to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from angelica.clock import Now
from angelica.domain.lifecycle import Completion
from angelica.domain.placement import Late
from angelica.domain.value import maker
from angelica.storage.limit_rules import VERSION
from angelica.storage.postgres.claims import Lane, claim_tasks, share
from angelica.storage.postgres.exchange import Wanted, exchange, is_plain
from angelica.storage.postgres.heads import told
from angelica.storage.postgres.limit_verbs import PostgresLimits
from angelica.storage.postgres.transaction import PostgresStatements, PostgresTransaction
from angelica.storage.protocol import Claim, Exchanged, LogLine, Topic
from angelica.storage.verbs import journal as journals
from angelica.storage.verbs.ends import write_ends
from angelica.storage.verbs.limited import claim_limited
from angelica.storage.verbs.limits import refill
from angelica.storage.verbs.placing import heads_of, spare_for
from angelica.storage.verbs.runs import settle_runs
from angelica.storage.verbs.transaction import NONE_TAKEN

_exchanged: Final[Callable[..., Exchanged]] = maker(Exchanged)


class PostgresExchange(PostgresLimits):
    """The part of the PostgreSQL storage that ends attempts and claims tasks."""

    async def exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        ids = [end.task_id for end in ends]
        counted = not self._counted.isdisjoint(ids)
        if counted or not is_plain(ends, journal) or (claim is not None and claim.select):
            return await self._exchange(ends, claim, now=now, journal=journal)
        lanes, limited, kept = ([], False, None) if claim is None else await self._lanes(claim, now)
        if not ends and not lanes:
            if limited:
                return await self._exchange((), claim, now=now, journal=())
            return _exchanged((), kept=kept)
        topics = {Topic.ENDED} if ends else set()
        tell = self._ring.payload(topics)
        worker = "" if claim is None else claim.worker
        wanted = Wanted(worker, lanes, self._claimed.over(worker))
        accepted, taken, place = await self._alone(
            partial(exchange, ends=ends, wanted=wanted, now=now, journal=journal, tell=tell, known=self._known)
        )
        self._claimed.deleted(worker, wanted.over)
        self._claimed.ended(ids)
        if taken:
            self._claimed.taken(worker, place, [task.spec.id for task in taken])
        self._ring.committed(topics if any(accepted) else (), told=tell is not None)
        if taken is None or limited:  # one of those in line has lapsed, or has a limit
            reply = await self._exchange((), claim, now=now, journal=())
            return _exchanged(tuple(accepted), reply.claimed, reply.lapsed, reply.gated, reply.kept)
        return _exchanged(tuple(accepted), tuple(taken), kept=kept)

    async def _lanes(self, claim: Claim, now: Now) -> tuple[list[Lane], bool, Late | None]:
        """Return what to take, or nothing and that the claim has to look at limits; and for whom the worker is kept."""

        async def ask(db: PostgresStatements) -> tuple[list[Lane], bool, Late | None]:
            levels = await self._heads.look(db, claim, now)
            known = await self._learn(db, levels)
            levels = known.open(levels)
            if known.limits(levels):
                return [], True, None
            spare = await spare_for(db, claim, heads_of(map(told, levels)), now=now)
            return share(levels, claim, spare, now), False, spare.kept

        return await self._read(ask)

    async def _exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine]
    ) -> Exchanged:
        # Where there are limits, who claims holds their lock and must not wait for others: so he holds nothing else.
        apart = bool(ends) and self._known.edition is not None

        async def work(tx: PostgresTransaction) -> tuple[Exchanged, Counter[str]]:
            if journal:
                await journals.append_logs(tx, journal)
            accepted = await write_ends(tx, ends, now=now) if ends else []
            taken = NONE_TAKEN if claim is None or apart else await claim_tasks(tx, claim, self._heads, now=now)
            await settle_runs(tx, now=now)
            claimed, lapsed, kept = taken
            return _exchanged(
                tuple(accepted), tuple(claimed), tuple(lapsed), bool(claimed and tx.counted), kept
            ), tx.left

        reply, left = await self._write(work)
        ids = [end.task_id for end in ends]
        self._counted.difference_update(ids)
        self._claimed.ended(ids)
        if not left and (claim is None or not apart):
            return reply
        more = await self._write(partial(self._go_on, left=left, claim=claim if apart else None, now=now))
        gated = reply.gated or more.gated
        return _exchanged(reply.accepted, reply.claimed + more.claimed, reply.lapsed + more.lapsed, gated, more.kept)

    async def _go_on(self, tx: PostgresTransaction, left: Counter[str], claim: Claim | None, now: Now) -> Exchanged:
        """Free whom the ended ones have made room for, then claim; there are limits."""
        await tx.lock("limits", [VERSION])
        if left:
            await refill(tx, left, now=now)
        taken = NONE_TAKEN if claim is None else await claim_limited(tx, claim, now=now)
        await settle_runs(tx, now=now)
        claimed, lapsed, kept = taken
        return _exchanged((), tuple(claimed), tuple(lapsed), bool(claimed and tx.counted), kept)
