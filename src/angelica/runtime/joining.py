"""Joining: submits inside of a transaction that the caller has opened on a connection of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from angelica.clock import Now
from angelica.domain.task import NewTask
from angelica.errors import Aborted, AngelicaError, InvalidValue, NotSupported
from angelica.runtime.functions import CallOf
from angelica.runtime.intake import Accepted, Intake, asked_of
from angelica.runtime.own import Own
from angelica.runtime.submit import Parent
from angelica.storage.protocol import Enqueued, Joined, Storage


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tasks that may be stored as far as can be said without a look at what stands."""

    tasks: Sequence[NewTask]
    now: Now


class Joining:
    """A submit in three steps: only the second is on the caller's connection, and in the caller's thread.

    Nobody tells us of the commit. So what is stored this way is announced to nobody: no `after_submit` hook runs, no
    event is emitted.
    """

    def __init__(self, storage: Storage, intake: Intake) -> None:
        self._storage = storage
        self._intake = intake

    def join(self, own: Own, *, is_async: bool) -> Joined:
        """Return the way into a caller's transaction; raises `InvalidValue`, also for one of the other colour."""
        joined = self._storage.join(own.connection)
        if joined.is_async and not is_async:
            raise InvalidValue(
                "/connection", "is an async one", hint="await aenqueue(…) or aenqueue_many(…)", rule="colour"
            )
        if is_async and not joined.is_async:
            raise InvalidValue(
                "/connection", "is a synchronous one", hint="call enqueue(…) or enqueue_many(…)", rule="colour"
            )
        return joined

    async def prepare(self, calls: Sequence[CallOf], parent: Parent | None) -> Prepared:
        """Ask the hooks, bind, validate and make the tasks; raises why the first is refused."""
        for function, _ in calls:
            if not function.durable:
                raise NotSupported(
                    "/connection",
                    f"{function.name} is declared durable=False: its tasks are in the memory of this "
                    "process, which takes part in no transaction",
                    rule="not_supported",
                )
        asked = [asked_of(function, *call, function.options) for function, call in calls]
        now, made = await self._intake.prepare(asked, parent)
        tasks: list[NewTask] = []
        for task in made:
            if isinstance(task, Exception):
                raise task
            tasks.append(task)
        return Prepared(tasks, now)

    async def answer(self, prepared: Prepared, stored: Enqueued) -> list[Accepted]:
        """Return what became of each task; raises `IdConflict` or `UniqueConflict`, and then none is stored."""
        aborted: AngelicaError | None = None
        answers: list[Accepted] = []
        for task, reply in zip(prepared.tasks, stored.items, strict=True):
            try:
                answers.append(await self._intake.answer(task, reply, self._storage, prepared.now))
            except Aborted as error:  # only says that another one was refused, whose reason is the one to tell
                aborted = aborted or error
        if aborted is not None:
            raise aborted
        return answers
