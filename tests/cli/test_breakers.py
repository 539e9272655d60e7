"""`angelica breakers` and fair queues on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

APP = """
from angelica import Engine

engine = Engine()


@engine.task(uses="stripe")
async def charge(order: int) -> int:
    return order
"""


def test_breakers_are_listed_and_set(run: Any, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    assert run("db", "migrate").code == 0
    assert json.loads(run("breakers", "list", "-o", "json").out or "[]") == []
    done = run("breakers", "open", "stripe", "--reason", "they migrate", "-o", "json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["name"], row["state"], row["forced"], row["reason"]) == ("stripe", "open", True, "they migrate")
    assert "open (by hand)" in run("breakers", "list").out
    assert "they migrate" in run("breakers", "show", "stripe").out
    assert json.loads(run("breakers", "close", "stripe", "-o", "json").out)[0]["state"] == "closed"
    assert json.loads(run("breakers", "reset", "stripe", "-o", "json").out)[0]["forced"] is False
    refused = run("breakers", "reset", "none")
    assert (refused.code, "there is no breaker 'none'" in refused.err) != (0, False)


def test_a_queue_is_made_fair(run: Any) -> None:
    assert run("db", "migrate").code == 0
    done = run("queues", "set", "default", "--fair", "tenant", "-o", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["fair"] == "tenant"
    for word in ("off", "none"):
        assert json.loads(run("queues", "set", "default", "--fair", word, "-o", "json").out)["fair"] is None
