"""A store of each released version opens with this one, keeps its tasks, and ends with the same schema as a new one."""

import asyncio
from pathlib import Path

import apsw
import pytest

from angelica.clock import ManualClock
from angelica.domain.task import State
from angelica.storage.protocol import Claim
from angelica.storage.sqlite.adapter import SqliteStorage

RELEASED = sorted((Path(__file__).parent.parent / "data" / "schema").glob("v*.sql"))
TASK = (
    "insert into tasks (id, function, version, queue, executor, priority, state, run_at, created_at, trace_id, payload,"
    " policy) values ('old', 'f', 1, 'default', 'async', 0, 'queued', 1, 1, '', '{}',"
    """ '[3600000000,3,3,["e",1.0,60.0,2.0,0.1,"added"],[],604800000000]');"""
    "insert into counters (queue, state, n) values ('default', 'queued', 1);"
)


def test_there_are_released_schemas() -> None:
    assert [path.stem for path in RELEASED][:1] == ["v0.1.0"]


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_store_of_that_release_goes_on(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = apsw.Connection(str(path))
    old.execute("pragma journal_mode = wal")
    old.execute(dump.read_text("utf-8"))
    old.execute(TASK)
    old.close()
    path.chmod(0o600)

    async def go_on() -> None:
        clock = ManualClock()
        storage = SqliteStorage(path, clock)
        await storage.open()
        reply = await storage.exchange([], Claim("w", 1, (("async", 1),)), now=clock.now())
        assert [(task.id, task.state) for task in reply.claimed] == [("old", State.RUNNING)]
        assert (await storage.check()).ok
        await storage.close()
        fresh = SqliteStorage(tmp_path / "new.db", clock)
        await fresh.open()
        await fresh.close()

    asyncio.run(go_on())
    assert schema(path) == schema(tmp_path / "new.db")


def schema(path: Path) -> list[str]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = [sql for (sql,) in connection.execute("select sql from sqlite_schema where sql is not null order by name")]
    connection.close()
    return found
