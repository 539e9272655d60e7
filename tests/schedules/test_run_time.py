"""Schedules of a running `angelica dev`: made, changed, paused and deleted over HTTP, and all of it after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.conftest import Server, command, environment

HELLO = {"name": "angelica.hello", "kwargs": {"who": "world"}, "overlap": "allow"}
LATE = 1.0
GRACE = 0.4
QUIET = 2.5
DOWN = 3.0


class Client:
    """Requests to a server, over one connection."""

    def __init__(self, server: Server, connection: httpx2.Client) -> None:
        self._connection = connection
        self.server = server

    def ask(self, method: str, path: str, body: object = None, status: int = 200) -> dict[str, Any]:
        answer = self._connection.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json()) if answer.content else {}

    def create(self, schedule_id: str, **fields: Any) -> dict[str, Any]:
        return self.ask("POST", "/schedules", {"schedule_id": schedule_id, **HELLO, **fields}, 201)

    def fires(self, schedule_id: str) -> list[dict[str, Any]]:
        return list(self.ask("GET", f"/schedules/{schedule_id}/fires?limit=500")["items"])[::-1]

    def runs(self, schedule_id: str) -> list[dict[str, Any]]:
        return [fire for fire in self.fires(schedule_id) if fire["task_id"] is not None]

    def until_runs(self, schedule_id: str, count: int) -> list[dict[str, Any]]:
        self.server.until(lambda: len(self.runs(schedule_id)) >= count)
        return self.runs(schedule_id)


@contextmanager
def dev(cwd: Path) -> Iterator[Client]:
    """Run `angelica dev` in a process group of its own, and kill that with everything in it at the end."""
    out, err = cwd / "stdout", cwd / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command("dev", "--port", "0"),
            cwd=cwd,
            env=environment(),
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    server = Server(process, out, err, cwd)
    try:
        server.until(lambda: "API" in server.out, 30)
        with httpx2.Client(base_url=server.url, timeout=20) as connection:
            yield Client(server, connection)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(fires: list[dict[str, Any]]) -> list[float]:
    return [seconds(fire["fire_time"]) for fire in fires]


def lateness(client: Client, run: dict[str, Any]) -> float:
    """Return how many seconds after its time the task of a fire began."""
    client.server.until(lambda: client.ask("GET", f"/tasks/{run['task_id']}")["status"] == "SUCCEEDED")
    task = client.ask("GET", f"/tasks/{run['task_id']}")
    return seconds(task["start_time"]) - seconds(run["fire_time"])


def accounted(fires: list[dict[str, Any]], step: float) -> list[dict[str, Any]]:
    """Return the spans among records of which none overlap and which together leave no instant of the grid out."""
    follows = seconds(fires[0]["fire_time"])
    for fire in fires:
        assert seconds(fire["fire_time"]) == pytest.approx(follows, abs=0.001)
        assert (fire["task_id"] is None) == (fire["reason"] is not None)
        last = seconds(fire["last_time"] or fire["fire_time"])
        assert fire["count"] == pytest.approx((last - seconds(fire["fire_time"])) / step + 1, abs=0.01)
        follows = last + step
    return [fire for fire in fires if fire["reason"] is not None]


@pytest.mark.slow
def test_edits_take_effect_without_a_restart(tmp_path: Path) -> None:
    with dev(tmp_path) as client:
        client.create("once", **{"in": "1s"})
        client.create("beat", every="1s")
        (once,) = client.until_runs("once", 1)
        assert 0 <= lateness(client, once) < LATE
        assert client.ask("GET", "/schedules/once")["state"] == "completed"
        runs = client.until_runs("beat", 3)
        assert [round(b - a, 3) for a, b in zip(times(runs), times(runs)[1:], strict=False)] == [1.0] * (len(runs) - 1)
        assert all(0 <= lateness(client, run) < LATE for run in runs[:3])

        # Changed: from now on each even second, and nothing of the old rule.
        client.ask("PATCH", "/schedules/beat", {"cron": "*/2 * * * * *", "version": 1})
        before = len(client.runs("beat"))
        changed = client.until_runs("beat", before + 2)[before:]
        assert all(moment % 2 == 0 for moment in times(changed))
        assert all(0 <= lateness(client, run) < LATE for run in changed)

        # Paused: not at all; resumed: what fell due meanwhile is told, and the next fire is on time.
        client.ask("POST", "/schedules/beat/pause")
        stood = len(client.runs("beat"))
        time.sleep(QUIET)
        assert len(client.runs("beat")) == stood
        client.ask("POST", "/schedules/beat/resume")
        resumed = client.until_runs("beat", stood + 1)[stood]
        assert 0 <= lateness(client, resumed) < LATE
        assert "paused" in {fire["reason"] for fire in client.fires("beat")}

        # Deleted: never.
        client.ask("DELETE", "/schedules/beat", status=204)
        tasks = len(client.ask("GET", "/tasks?limit=500")["items"])
        time.sleep(QUIET)
        assert len(client.ask("GET", "/tasks?limit=500")["items"]) == tasks
        client.ask("GET", "/schedules/beat", status=404)


@pytest.mark.slow
def test_everything_survives_kill_nine_of_all_processes(tmp_path: Path) -> None:
    with dev(tmp_path) as client:
        for catch_up in ("skip", "latest", "all"):
            client.create(catch_up, every="1s", catch_up=catch_up, grace=GRACE)
        client.create("changed", cron="0 0 1 1 *")
        client.ask("PATCH", "/schedules/changed", {"cron": "* * * * * *", "version": 1})
        client.create("paused", every="1s")
        client.ask("POST", "/schedules/paused/pause", {"reason": "at night"})
        client.create("gone", every="1s")
        client.ask("DELETE", "/schedules/gone", status=204)
        client.create("later", **{"in": "6s"})
        client.until_runs("all", 2)
        client.until_runs("changed", 1)
        paused = client.runs("paused")
    killed = time.time()
    time.sleep(DOWN)

    with dev(tmp_path) as client:
        assert client.ask("GET", "/schedules/changed")["version"] == 2
        stands = client.ask("GET", "/schedules/paused")
        assert (stands["state"], stands["state_reason"]) == ("paused", "at night")
        client.ask("GET", "/schedules/gone", status=404)
        (later,) = client.until_runs("later", 1)
        assert lateness(client, later) >= 0
        client.until_runs("changed", 3)
        for name in ("skip", "latest", "all"):
            client.server.until(lambda name=name: max(times(client.runs(name))) > killed + DOWN + 1.5)
        assert client.runs("paused") == paused

        told = {name: accounted(client.fires(name), 1.0) for name in ("skip", "latest", "all")}
        assert {span["reason"] for span in told["skip"]} == {"missed"}
        assert sum(span["count"] for span in told["skip"]) >= 2
        assert told["all"] == []
        # `latest` runs one of the missed, or none where a fire was on time again when the first pass came.
        away = {name: [at for at in times(client.runs(name)) if killed < at < killed + DOWN - GRACE] for name in told}
        assert away["skip"] == []
        assert len(away["latest"]) <= 1
        assert len(away["all"]) >= 2
        ids = [run["task_id"] for name in ("skip", "latest", "all", "changed") for run in client.runs(name)]
        assert len(set(ids)) == len(ids)
        for task_id in ids:
            client.server.until(
                lambda task_id=task_id: client.ask("GET", f"/tasks/{task_id}")["status"] == "SUCCEEDED", 40
            )
