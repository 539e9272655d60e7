"""Schedules as a file in Git: read, compared, applied, edited over, gone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from angelica.cli.failure import CliError
from angelica.cli.schedule_file import change_text, read_file
from tests.cli.conftest import Done, run

__all__ = ["run"]

FILE = """
[defaults]
timezone = "Asia/Shanghai"
task = { queue = "mail", retries = 1 }

[schedules.cleanup]
name = "angelica.sleep"
kwargs = { seconds = 1 }
every = "15m"

[schedules.report]
name = "angelica.hello"
cron = "0 0 1 * *"
start_at = 2027-01-01T00:00:00Z
task = { retries = 5 }
"""


def test_a_file_becomes_one_request(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(FILE)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    found = read_file(str(path))
    assert (found["source"], found["revision"]) == ("file:s.toml", "2023-11-14T22:13:20.000Z")
    assert found["schedules"][1] == {
        "schedule_id": "report", "name": "angelica.hello", "cron": "0 0 1 * *", "timezone": "Asia/Shanghai",
        "start_at": "2027-01-01T00:00:00+00:00", "task": {"queue": "mail", "retries": 5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "TOML"),
        ("a = 1", "a is unknown"),
        ("schedules = 1", "must be tables"),
        ("[schedules]\nx = 1", "must be tables"),
        ("source = 5", "source is a text"),
        ("defaults = 5", "source is a text"),
        ("[schedules.x]\nat = 2026-01-01", "half a moment"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(CliError) as refused:
        read_file(str(path))
    assert words in f"{refused.value} {refused.value.hint}"


def test_a_change_in_words() -> None:
    assert change_text({"field": "cron", "from": "a", "to": "b"}) == 'cron: "a" → "b"'
    assert change_text({"field": "jitter", "from": None, "to": 5}) == "jitter: 5"


def outcomes(done: Done) -> dict[str, str]:
    return {row["schedule_id"]: row["outcome"] for row in json.loads(done.out)}


def test_a_file_is_compared_applied_and_edited_over(run: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(FILE)

    def apply(*more: str, verb: str = "apply") -> Done:
        return run("schedules", verb, "s.toml", "-o", "json", *more)

    assert run("schedules", "diff", "s.toml").code == 69  # there is no store yet
    assert outcomes(apply()) == {"cleanup": "created", "report": "created"}
    same = apply(verb="diff")
    assert (same.code, outcomes(same)) == (0, {"cleanup": "unchanged", "report": "unchanged"})
    assert run("schedules", "edit", "report", "jitter=5").code == 0

    path.write_text(FILE.replace("15m", "20m").replace('cron = "0 0 1', 'jitter = 9\ncron = "0 5 1'))
    changed = apply(verb="diff")
    assert (changed.code, outcomes(changed)) == (1, {"cleanup": "updated", "report": "updated"})
    assert outcomes(apply("--dry-run")) == {"cleanup": "updated", "report": "updated"}
    rows: list[dict[str, Any]] = json.loads(apply().out)
    assert {row["schedule_id"]: row["kept"] for row in rows} == {"cleanup": [], "report": ["jitter"]}
    report = json.loads(run("schedules", "show", "report", "-o", "json").out)
    assert (report["cron"], report["jitter"], report["owner"]) == ("0 5 1 * *", 5, "code")
    assert run("schedules", "reset", "report", "jitter").code == 0
    assert json.loads(run("schedules", "show", "report", "-o", "json").out)["jitter"] == 9


def test_an_older_file_a_deletion_and_an_orphan(run: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(FILE)
    assert run("schedules", "apply", "s.toml").code == 0
    path.write_text(FILE.replace("15m", "30m"))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    older = run("schedules", "apply", "s.toml")
    assert "--redeclare goes back" in older.err
    assert json.loads(run("schedules", "show", "cleanup", "-o", "json").out)["every"] == 900
    assert run("schedules", "apply", "s.toml", "--redeclare").code == 0
    assert json.loads(run("schedules", "show", "cleanup", "-o", "json").out)["every"] == 1800

    assert run("schedules", "delete", "cleanup").code == 0
    assert "an operator deleted it" in run("schedules", "apply", "s.toml").err
    assert run("schedules", "show", "cleanup").code == 3
    assert run("schedules", "apply", "s.toml", "--redeclare").code == 0
    assert run("schedules", "show", "cleanup").code == 0

    path.write_text(FILE.partition("[schedules.report]")[0])
    assert '"orphaned"' in run("schedules", "apply", "s.toml", "-o", "json").out
    assert json.loads(run("schedules", "show", "report", "-o", "json").out)["state"] == "orphaned"
