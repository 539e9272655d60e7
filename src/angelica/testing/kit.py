"""The test kit: an engine on a store of its own, a clock that the test moves, and questions about what was enqueued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from angelica.clock import ManualClock
from angelica.domain.task import Task
from angelica.durations import parse_duration
from angelica.engine import Engine
from angelica.runtime.functions import Function
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Storage, TaskFilter
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.testing.drain import Drain

STORES = ("memory", "sqlite", "postgres")


def make_test_storage(kind: str, directory: Path, clock: ManualClock) -> Storage:
    """Return a fresh storage of a kind (`memory`, `sqlite`, `postgres`), in `directory` where it needs one.

    Raises `AngelicaError` where PostgreSQL is wanted and there is none.
    """
    if kind == "memory":
        return MemoryStorage(clock)
    if kind == "sqlite":
        return SqliteStorage(directory / "angelica-test.db", clock, durability="fast")
    if kind == "postgres":
        from angelica.testing.postgres import fresh_storage

        return fresh_storage(clock)
    raise ValueError(f"there is no store {kind!r}; there are {', '.join(STORES)}")


def discard(storage: Storage) -> None:
    """Remove what a closed storage of a test leaves outside the test's directory."""
    if not isinstance(storage, MemoryStorage | SqliteStorage):
        from angelica.storage.postgres.adapter import PostgresStorage
        from angelica.testing.postgres import drop

        if isinstance(storage, PostgresStorage):
            drop(storage)


class TestClock:
    """A clock that stands still until it is shifted."""

    __test__ = False  # not a test class, whatever its name

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def shift(self, duration: str | float) -> None:
        """Move forward by `duration`: seconds, or a text such as `"90s"`, `"1h30m"`, `"1d"`."""
        self._clock.advance(parse_duration(duration))

    @property
    def micros(self) -> int:
        """The moment, in microseconds since the epoch."""
        return self._clock.wall()


class TestWorker:
    """Runs what is due when the test says so."""

    __test__ = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.adrain = Drain(engine)

    def drain(self, *, with_scheduled: bool = False) -> Counter[str]:
        """Run what is due, fires of schedules too, in the order of claim; return how many attempts ended in which way.

        With `with_scheduled` the clock is moved on until delayed tasks, retries and snoozes have run too.
        """
        return self._engine.call(self.adrain(with_scheduled=with_scheduled))


@contextmanager
def in_test(engine: Engine, storage: Storage, clock: ManualClock, *, inline: bool = False) -> Iterator[Engine]:
    """Let an engine work on a test's storage and clock for a while, then put it back.

    With `inline`, each enqueue runs what is due before it returns.
    """
    with engine.substituted(storage, clock):
        if inline:
            drain = Drain(engine)
            engine.after_submit = drain
        try:
            engine.call(engine.open())
            engine.call(engine.declare_schedules())
            yield engine
        finally:
            engine.after_submit = None
            engine.shutdown()


def enqueued(engine: Engine, function: Function[..., Any] | None = None) -> list[Task]:
    """Return the tasks of a function (default: all) in the order in which they were enqueued."""

    async def read() -> list[Task]:
        names = () if function is None else (function.name,)
        found: list[Task] = []
        for storage in (engine.storage, engine.lane):
            page = await storage.list_tasks(TaskFilter(functions=names), limit=500, newest_first=False)
            found += page.items
        return found

    return engine.call(read())


class AssertEnqueued:
    """Checks that a function was enqueued with arguments; `count` None means at least once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, function: Function[..., Any], *args: Any, count: int | None = None, **kwargs: Any) -> list[Task]:
        """Return the matching tasks; without arguments any call of the function matches."""
        tasks = enqueued(self._engine, function)
        if args or kwargs:
            wanted = function.prepare().named(args, kwargs)
            found = [task for task in tasks if _arguments(function, task) == wanted]
        else:
            found = tasks
        if (count is None and not found) or (count is not None and len(found) != count):
            raise AssertionError(self._report(function, args, kwargs, count, tasks))
        return found

    def _report(
        self,
        function: Function[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        count: int | None,
        tasks: list[Task],
    ) -> str:
        call = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
        times = "" if count is None else f" {count} time(s)"
        there = "\n".join(f"  {task.function} {task.spec.payload}" for task in tasks or enqueued(self._engine))
        return f"{function.name}({call}) was not enqueued{times}; there are:\n{there or '  no tasks at all'}"


def _arguments(function: Function[..., Any], task: Task) -> Any:
    args, kwargs = function.decode(task.spec.payload)
    return function.prepare().named(args, kwargs)
