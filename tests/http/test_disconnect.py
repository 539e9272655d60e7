from __future__ import annotations

import asyncio
from typing import Any

from angelica.http.app import create_app
from tests.http.house import House


class Line:
    """One connection by hand: the caller hangs up when the test says so."""

    def __init__(self, house: House, path: str, query: str = "", **headers: str) -> None:
        self.app = create_app(house, mode="dev")
        self.hung_up = asyncio.Event()
        self.asked = False
        self.sent: list[Any] = []
        self.heard = asyncio.Event()
        raw = [(b"host", b"localhost"), *((k.encode(), v.encode()) for k, v in headers.items())]
        self.scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": raw, "client": ("127.0.0.1", 1), "root_path": "", "scheme": "http", "http_version": "1.1",
        }  # fmt: skip

    async def receive(self) -> Any:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.heard.set()

    def serve(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.app(self.scope, self.receive, self.send))


def left() -> list[str]:
    """What still runs beside the test; a storage may keep a task on each loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return [task.get_name() for task in others if not task.get_name().startswith("angelica-postgres")]


def submit(house: House) -> str:
    answer = house.client().post("/tasks", json={"name": "add"})
    return str(answer.json()["task_id"])


def test_a_long_poll_ends_when_the_caller_hangs_up(house: House) -> None:
    task_id = submit(house)

    async def run() -> None:
        line = Line(house, f"/tasks/{task_id}", "wait=60")
        serving = line.serve()
        await asyncio.sleep(0)
        line.hung_up.set()
        await asyncio.wait_for(serving, 10)
        assert line.sent == []
        assert left() == []

    asyncio.run(run())


def test_a_tail_ends_when_the_caller_hangs_up(house: House) -> None:
    task_id = submit(house)

    async def run() -> None:
        line = Line(house, f"/tasks/{task_id}/logs", accept="text/event-stream")
        serving = line.serve()
        await asyncio.wait_for(line.heard.wait(), 10)
        line.hung_up.set()
        await asyncio.wait_for(serving, 10)
        assert line.sent[0]["status"] == 200
        assert left() == []

    asyncio.run(run())


def test_a_tail_tells_lines_as_they_come(house: House) -> None:
    task_id = submit(house)

    async def run() -> None:
        line = Line(house, f"/tasks/{task_id}/logs", accept="text/event-stream")
        serving = line.serve()
        await asyncio.wait_for(line.heard.wait(), 10)
        task = await asyncio.to_thread(house.claim)
        await asyncio.to_thread(house.log, task, "hello")
        await asyncio.to_thread(house.end, task)
        await asyncio.wait_for(serving, 10)
        text = b"".join(message.get("body", b"") for message in line.sent).decode()
        assert text.index('"message":"hello"') < text.index("event: end")

    asyncio.run(run())


def test_a_long_poll_answers_when_the_task_ends(house: House) -> None:
    task_id = submit(house)

    async def run() -> None:
        line = Line(house, f"/tasks/{task_id}", "wait=60")
        serving = line.serve()
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: house.end(house.claim()))
        await asyncio.wait_for(serving, 10)
        assert b'"status":"SUCCEEDED"' in line.sent[1]["body"]

    asyncio.run(run())
