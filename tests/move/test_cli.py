"""`angelica db move` as users run it, beside a server that is at work."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import httpx2
import pytest

from angelica.domain.fence import Fence
from angelica.storage.move.fences import put
from tests.cli.conftest import Done, command, environment, run, serving
from tests.move.house import Place, opened, place
from tests.move.test_mover import fill

__all__ = ["run"]
TOKEN = "t" * 40


def counts(at: Place) -> dict[str, int]:
    async def look() -> dict[str, int]:
        async with opened(at.storage()) as storage:
            found: dict[str, int] = {}
            for (_, state), n in (await storage.counts()).items():
                found[state.value] = found.get(state.value, 0) + n
            return found

    return asyncio.run(look())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_a_server_at_work_is_moved_and_says_where_to(run, kind: str, tmp_path: Path) -> None:
    target = place(kind, tmp_path, name="new.db")
    shown = target.url if kind == "sqlite" else target.url.split("?")[0]
    with serving(tmp_path, "serve", ANGELICA_TOKEN=TOKEN) as server:
        headers = {"authorization": f"Bearer {TOKEN}"}
        for n in range(20):
            body = {"name": "angelica.hello", "task_id": f"t{n}", "delay": "1h" if n % 2 else 0}
            assert httpx2.post(server.url + "/tasks", json=body, headers=headers).status_code == 201
        done: Done = run("db", "move", "--to", target.url, "-o", "json", "--grace", "3")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        assert told["to"].startswith(shown)
        assert told["tasks"] == 20
        assert told["seconds_without_writes"] < 5
        assert server.process.wait(20) == 69
        assert f"the data has moved to {shown}" in server.err
        assert "hint: start it again there" in server.err
    assert counts(target) == {"succeeded": 10, "scheduled": 10}
    again: Done = run("serve", "--port", "0", ANGELICA_TOKEN=TOKEN)
    assert again.code == 69
    assert f"the data has moved to {shown}" in again.err
    (tmp_path / "there").mkdir()
    with serving(tmp_path / "there", "serve", "--url", target.url, ANGELICA_TOKEN=TOKEN) as server:
        found = httpx2.get(server.url + "/tasks/t0", headers=headers).json()
        assert (found["status"], found["result"]) == ("SUCCEEDED", "hello, world")


@pytest.mark.slow
def test_a_server_whose_settings_lead_to_the_new_store_starts_again_there(run, tmp_path: Path) -> None:
    source, target = place("sqlite", tmp_path), place("postgres", tmp_path)
    settings = tmp_path / "angelica.toml"
    settings.write_text(f'url = "{source.url}"\n')
    headers = {"authorization": f"Bearer {TOKEN}"}
    with serving(tmp_path, "serve", ANGELICA_TOKEN=TOKEN) as server:
        body = {"name": "angelica.hello", "task_id": "t0"}
        assert httpx2.post(server.url + "/tasks", json=body, headers=headers).status_code == 201
        settings.write_text(f'url = "{target.url}"\n')
        done: Done = run("db", "move", "--url", source.url, "--to", target.url, "--grace", "3")
        assert done.code == 0, done.err
        server.until(lambda: server.out.count("API ") == 2)
        assert f"starting again with {target.url}" in server.err
        url = [line.split()[1] for line in server.out.splitlines() if line.startswith("API")][-1]
        body["task_id"] = "t1"
        assert httpx2.post(url + "/tasks", json=body, headers=headers).status_code == 201
        assert httpx2.get(url + "/tasks/t1?wait=10", headers=headers).json()["status"] == "SUCCEEDED"
    assert counts(target) == {"succeeded": 2}


def test_submits_are_answered_503_while_nothing_is_written(tmp_path: Path) -> None:
    at = place("sqlite", tmp_path)
    with serving(tmp_path, "serve", ANGELICA_TOKEN=TOKEN) as server:
        asyncio.run(_fence(at, Fence("moving", "m", "there", "here", until=1 << 60)))
        body, headers = {"name": "angelica.hello"}, {"authorization": f"Bearer {TOKEN}"}
        refused = httpx2.post(server.url + "/tasks", json=body, headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.json()["error"] == "store-unavailable"
        asyncio.run(_fence(at, None))
        assert httpx2.post(server.url + "/tasks", json=body, headers=headers).status_code == 201


async def _fence(at: Place, fence: Fence | None) -> None:
    async with opened(at.side()) as side:
        await side.swap_fence(put(fence))


def test_what_cannot_be_moved_is_refused_in_words(run, tmp_path: Path) -> None:
    missing = run("db", "move", "--to", "there.db")
    assert (missing.code, "there is no store at" in missing.err) == (69, True)
    asyncio.run(fill(place("sqlite", tmp_path)))
    nowhere = run("db", "move")
    assert (nowhere.code, "where to?" in nowhere.err) == (2, True)
    memory = run("db", "move", "--to", "memory:")
    assert (memory.code, "a store in memory ends with its process" in memory.err) == (2, True)
    itself = run("db", "move", "--to", "angelica.db")
    assert (itself.code, "is the store that is to be moved" in itself.err) == (5, True)
    asyncio.run(fill(place("sqlite", tmp_path, name="full.db")))
    full = run("db", "move", "--to", "full.db")
    assert (full.code, "is not empty" in full.err) == (5, True)
    pooled = run("db", "move", "--to", "postgresql://localhost/x?pooler=transaction")
    assert (pooled.code, "cannot go through a pooler" in pooled.err) == (2, True)
    gone = run("db", "move", "--to", "postgresql://127.0.0.1:1/x")
    assert (gone.code, "cannot be reached" in gone.err) == (69, True)
    assert counts(place("sqlite", tmp_path))["queued"] == 5


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_interrupted_it_leaves_the_store_in_work(run, number: str, tmp_path: Path) -> None:
    source = place("sqlite", tmp_path)
    asyncio.run(fill(source))
    with serving(tmp_path, "serve", ANGELICA_TOKEN=TOKEN, ANGELICA_GRACE="1") as server:
        httpx2.post(
            server.url + "/tasks",
            json={"name": "angelica.sleep", "kwargs": {"seconds": 60}},
            headers={"authorization": f"Bearer {TOKEN}"},
        ).raise_for_status()
        mover = subprocess.Popen(
            command("db", "move", "--to", "new.db", "--grace", "60"),
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert mover.stderr is not None
        while "workers hand back" not in mover.stderr.readline():
            assert mover.poll() is None
        server.until(lambda: "is being moved to" in server.err)
        subprocess.run(["kill", f"-{number}", str(mover.pid)], check=True)
        assert mover.wait(10) == 130
        mover.stderr.close()
        server.until(lambda: "the move was given up" in server.err)
    aborted = run("db", "move", "--abort", "--to", "new.db")
    assert (aborted.code, "new.db is empty" in aborted.err) == (0, True)
    assert counts(source)["succeeded"] >= 30
