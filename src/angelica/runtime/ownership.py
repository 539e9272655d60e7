"""Ownership: schedules that code declares, compared with what stands in the store; a deploy never undoes an operator.

Every field has what was declared and what was overridden. A deploy writes the former alone. What an operator deleted
stays deleted; what is gone from the code is orphaned: shown, paused, not deleted. A declaration by older code than
that of the stored one is ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from angelica.clock import Now
from angelica.domain.events import ScheduleChanged
from angelica.domain.schedule import Phase, Schedule
from angelica.errors import AngelicaError
from angelica.runtime.definition import (
    declared_by,
    declared_form,
    declared_text,
    definition_of,
    effective,
    new_schedule,
    override_form,
    plain,
    redefined,
)
from angelica.runtime.means import Means
from angelica.runtime.run_maker import RunMaker
from angelica.runtime.schedule_desk import ScheduleDesk
from angelica.runtime.schedule_drafts import ScheduleDraft, read_schedule
from angelica.storage.protocol import ScheduleFilter, SchedulePut, Storage

log: Final = logging.getLogger("angelica.schedules")

GONE: Final = "gone"
PAGE: Final = 500
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Declaration:
    """One schedule of the code. `source` says which code it is of, `revision` (microseconds) how new that code is."""

    draft: ScheduleDraft
    source: str = ""
    revision: int = 0

    @property
    def id(self) -> str:
        """The schedule's id; a declaration always has one."""
        return self.draft.id or ""


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of the declarations, by id. `kept` names the fields that an override keeps as they are."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    kept: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(slots=True)
class _Tally:
    """The lists of a `Declared` while it grows."""

    lists: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, name: str, item: Any) -> None:
        self.lists.setdefault(name, []).append(item)


class Ownership:
    """Brings declarations into the store."""

    def __init__(self, storage: Storage, *, means: Means, desk: ScheduleDesk, runs: RunMaker) -> None:
        self._storage = storage
        self._means = means
        self._desk = desk
        self._runs = runs

    async def declare(
        self, declarations: Sequence[Declaration], *, sources: Iterable[str] = (), revision: int = 0, redeclare: bool
    ) -> Declared:
        """Store what is declared, and orphan what code of `sources`, not newer than `revision`, declares no more.

        One declaration that is refused (its function takes other arguments, say) is logged and leaves the others be.
        With `redeclare` older declarations count too. Raises `StorageUnavailable`.
        """
        tally = _Tally()
        for first in range(0, len(declarations), PAGE):
            pending: Sequence[Declaration] = declarations[first : first + PAGE]
            for _ in range(TRIES):
                pending = await self._write(pending, tally, redeclare=redeclare)
                if not pending:
                    break
        names = {each.id for each in declarations}
        if known := frozenset(sources):
            await self._orphan(known, names, revision, tally)
        return Declared(**{name: tuple(items) for name, items in tally.lists.items()})

    async def _write(self, batch: Sequence[Declaration], tally: _Tally, *, redeclare: bool) -> list[Declaration]:
        """Write one batch; return the declarations whose schedule moved meanwhile."""
        now = self._means.clock.now()
        standing = await self._storage.get_schedules([each.id for each in batch])
        puts: list[tuple[Declaration, SchedulePut]] = []
        for declaration, schedule in zip(batch, standing, strict=True):
            try:
                put = await self._put(declaration, schedule, now, redeclare=redeclare)
            except AngelicaError as error:
                log.warning("the declared schedule %s is not stored: %s", declaration.id, error)
                tally.add("refused", (declaration.id, str(error)))
                continue
            if put is None:
                log.warning("schedule %s: declared by older code than the stored one; ignored", declaration.id)
                tally.add("older", declaration.id)
            else:
                puts.append((declaration, put))
        replies = await self._storage.put_schedules([put for _, put in puts], now=now) if puts else ()
        again = []
        for (declaration, put), status in zip(puts, replies, strict=True):
            if status in ("stale", "exists", "missing"):
                again.append(declaration)
            else:
                self._note(declaration.id, status, put, tally)
                if put.schedule.phase is Phase.ORPHANED:
                    await self._desk.resume(declaration.id, catch_up=False)
        return again

    def _note(self, schedule_id: str, status: str, put: SchedulePut, tally: _Tally) -> None:
        tally.add(status, schedule_id)
        if status == "deleted":
            log.info("schedule %s: deleted by an operator, so its declaration is not stored", schedule_id)
            return
        kept = tuple(sorted(override_form(put.schedule)))
        if kept:
            tally.add("kept", (schedule_id, kept))
        if status != "unchanged":
            self._means.emit(ScheduleChanged(schedule_id, status))
            if kept:
                log.warning("schedule %s: an operator's edit of %s is kept", schedule_id, ", ".join(kept))

    async def _put(
        self, declaration: Declaration, standing: Schedule | None, now: Now, *, redeclare: bool
    ) -> SchedulePut | None:
        """Return the write of a declaration, None if the stored one is newer."""
        draft = declaration.draft
        text = declared_text(plain(draft.form), declaration.source, declaration.revision)
        if standing is None:
            run = await self._runs.run_of(draft, now.wall)
            made = new_schedule(draft, run, schedule_id=declaration.id, wall=now.wall)
            made = replace(made, owner="code", declared=text, override=None, seen_at=now.wall)
            return SchedulePut(made, expect="new", unless_deleted=not redeclare)
        newer = declared_by(standing)[1] > declaration.revision
        if newer and not redeclare and (declared_form(standing) or definition_of(standing)) != plain(draft.form):
            return None
        standing = await self._desk.fired(standing)
        override = override_form(standing)
        in_force = read_schedule(effective(plain(draft.form), override), schedule_id=standing.id)
        by = standing.run.extras.created_by
        run = await self._runs.run_of(in_force, now.wall, by)
        delays = in_force.trigger.mode == "delay"
        running = delays and (await self._storage.unfinished_runs(standing.id)).count > 0
        made = redefined(standing, in_force, run, wall=now.wall, running=running)
        changed = (made.trigger, made.run, made.rules) != (standing.trigger, standing.run, standing.rules)
        if not changed and newer:
            text = standing.declared or text  # an older worker that starts again must not make the code look older
        made = replace(
            made,
            owner="code",
            declared=text,
            seen_at=now.wall,
            version=standing.version + changed,
        )
        return SchedulePut(made, expect=standing.version, seen=standing)

    async def _orphan(self, sources: frozenset[str], names: set[str], revision: int, tally: _Tally) -> None:
        """Pause the schedules that this code has declared once and declares no more."""
        for source in sorted(sources):
            where = ScheduleFilter(phases=frozenset({Phase.ACTIVE}), owner="code", source=source)
            after: str | None = ""
            while after is not None:
                page = await self._storage.list_schedules(where, limit=PAGE, after=after)
                after = page.next
                for schedule in page.items:
                    if schedule.id not in names and declared_by(schedule)[1] <= revision:
                        await self._desk.change(schedule.id, _orphaned, version=None, what="orphaned")
                        log.warning("schedule %s: gone from the code, and so it is paused; not deleted", schedule.id)
                        tally.add("orphaned", schedule.id)


async def _orphaned(schedule: Schedule, now: Now) -> Schedule:
    # One that an operator has paused stays that: it does not fire, and must not go on when the code is back.
    if schedule.phase is not Phase.ACTIVE:
        return schedule
    return replace(schedule, phase=Phase.ORPHANED, phase_reason=GONE, paused_at=now.wall)
