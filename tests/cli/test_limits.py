"""`angelica queues`, `limits` and `functions set`: what is set on the command line is what is shown."""

from __future__ import annotations

import json

import pytest


@pytest.mark.slow
def test_queues_and_limits_are_set_and_shown(run) -> None:
    assert run("enqueue", "angelica.hello", "--id", "first").code == 0
    done = run("queues", "pause", "default", "--reason", "deploy", "-o", "json")
    assert (done.code, json.loads(done.out)["paused"], json.loads(done.out)["reason"]) == (0, True, "deploy")
    listed = run("queues", "list").out
    assert "paused" in listed
    assert "deploy" in listed
    assert json.loads(run("queues", "resume", "default", "-o", "json").out)["paused"] is False
    done = run("queues", "set", "default", "--max-running", "5", "--rate", "100/m", "--ageing", "30s", "-o", "json")
    view = json.loads(done.out)
    assert (view["max_running"], view["rate"], view["ageing"]) == (5, "100/m", 30.0)
    assert json.loads(run("queues", "set", "default", "--rate", "none", "-o", "json").out)["rate"] is None
    assert run("queues", "show", "default").code == 0

    assert run("limits", "set", "tenant", "--max-running", "3").code == 0
    assert run("limits", "set", "tenant", "acme/eu", "--rate", "5/s").code == 0
    assert [row["key"] for row in json.loads(run("limits", "list", "-o", "json").out)] == [None, "acme/eu"]
    assert run("enqueue", "angelica.hello", "--limit", "tenant/acme").code == 0
    assert run("limits", "delete", "tenant", "acme/eu").code == 0
    assert run("limits", "delete", "tenant", "acme/eu").code != 0
    unknown = run("functions", "set", "none", "--max-running", "1")
    assert unknown.code != 0
    assert "no function is called" in unknown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("queues", "set", "q", "--max-running", "many"),
        ("queues", "set", "q"),
        ("limits", "set", "a", "--rate", "often"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, arguments: tuple[str, ...]) -> None:
    assert run("enqueue", "angelica.hello").code == 0
    assert run(*arguments).code != 0
