"""Submitting inside of a caller's own transaction: on the caller's connection, by the caller's driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from angelica.clock import Now
from angelica.domain.task import NewTask
from angelica.errors import InvalidValue, StorageUnavailable
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.batch import cut
from angelica.storage.postgres.callers import Caller
from angelica.storage.postgres.ring import words
from angelica.storage.postgres.texts import storable_json
from angelica.storage.protocol import Enqueued, Topic
from angelica.storage.rows import from_json, full_row, to_json
from angelica.storage.verbs.submit import all_created, put
from angelica.storage.verbs.transaction import Clash, Value, finished

_PAYLOAD: Final = 10
"""The column of `full_row` that can be long."""

TRIES: Final = 20
"""How often it is looked again at what stood in the way and was gone when it was looked at."""


@dataclass(frozen=True, slots=True)
class Home:
    """The store that a connection must lead to: its id and the name of its database, as its own connections see them.

    `seen` are the connections of callers that do. A connection leads to one database as long as it lives.
    """

    address: Address
    verbs: Mapping[str, str]
    store_id: str
    database: str
    seen: WeakKeyDictionary[Any, None] = field(default_factory=WeakKeyDictionary)

    async def check(self, caller: Caller, connection: object) -> None:
        """Raise `InvalidValue` if a caller's connection does not lead here."""
        if connection in self.seen:
            return
        look = await caller.value(self.verbs["joined_look"], ())
        assert look is not None
        database, role, there, missing, usable = from_json(look)
        schema = self.address.schema
        if database != self.database or not there:
            lacks = "" if there else f", which has no schema {schema!r} with a store"
            raise self._other(f"is one to the database {database!r}{lacks}")
        if missing or not usable:
            rights = ", ".join(missing or [f"usage on schema {schema}"])
            problem = f"its role {role!r} may not write to the store: it lacks {rights}"
            raise InvalidValue("/connection", problem, hint="see GRANT", rule="forbidden")
        found = await caller.value(self.verbs["meta"], ("store_id",))
        if found != self.store_id:
            raise self._other(f"is one to another store, {found} in the schema {schema!r} of {database!r}")
        with suppress(TypeError):  # a driver's connection that cannot be remembered is looked at each time
            self.seen[connection] = None

    def _other(self, problem: str) -> InvalidValue:
        ours = f"the engine's store is {self.store_id} in the database {self.database!r} ({self.address.shown})"
        return InvalidValue("/connection", f"{problem}; {ours}", rule="other_database")


class PostgresJoined:
    """A caller's transaction, which ends when and how the caller likes.

    So it must hold nothing that others wait for: it adds rows and changes none that was there before. Even the counts
    go into rows of its own.
    """

    def __init__(self, home: Home, caller: Caller) -> None:
        self._home = home
        self._caller = caller

    @property
    def is_async(self) -> bool:
        return self._caller.is_async

    def enqueue_many(self, tasks: Sequence[NewTask], *, now: Now, notify: bool) -> Enqueued:
        return finished(self.aenqueue_many(tasks, now=now, notify=notify))

    async def aenqueue_many(self, tasks: Sequence[NewTask], *, now: Now, notify: bool) -> Enqueued:
        await self._home.check(self._caller, await self._caller.enter())
        inside = _Inside(self._caller, self._home.verbs, notify=notify)
        # An id that the engine has made is new: there is nothing to look for.
        if all(task.unique is None and task.extras.digest is None for task in tasks):
            try:
                await inside.insert(tasks, now.wall)
            except Clash:
                pass
            else:
                return all_created(tasks)
        for _ in range(TRIES):
            try:
                return await put(inside, tasks, wall=now.wall, atomic=True)
            except Clash:
                continue  # it came into the way after the look, and stands now: it can be looked at
        raise StorageUnavailable(f"others were in the way {TRIES} times")


class _Inside:
    """What `put` needs of the transaction: a look at what stands, and the insert."""

    def __init__(self, caller: Caller, verbs: Mapping[str, str], *, notify: bool) -> None:
        self._caller = caller
        self._verbs = verbs
        self._notify = notify

    async def rows(self, verb: str, *values: Value) -> list[Any]:
        # As text: a caller's driver may be set up to take JSON apart.
        text = await self._caller.value(f"select ({self._verbs[verb]})::text", [str(value) for value in values])
        return [] if text is None else list(from_json(text))

    async def insert(self, tasks: Sequence[NewTask], wall: int) -> None:
        """Store tasks that are thought to be new; raises `Clash` once none of them is stored."""
        told = [words("", [topic]) for topic in sorted(_topics(tasks, wall))] if self._notify else []
        stored: list[str] = []
        rows = [full_row(task, "queued" if task.run_at <= wall else "scheduled") for task in tasks]
        for part in cut(rows, payload=_PAYLOAD):
            ids = {row[0] for row in part}
            labels = [(t.id, name, value) for t in tasks if t.id in ids for name, value in t.extras.labels.items()]
            texts = [storable_json(to_json(part)), storable_json(to_json(labels)), to_json(told)]
            found = await self._caller.value(self._verbs["joined_insert"], texts)
            assert found is not None
            new = from_json(found)[0] or []
            stored += new
            if len(new) < len(part):
                if stored:
                    await self._caller.value(self._verbs["joined_take_back"], [to_json(stored)])
                raise Clash


def _topics(tasks: Sequence[NewTask], wall: int) -> set[Topic]:
    return {Topic.READY if task.run_at <= wall else Topic.DUE for task in tasks}
