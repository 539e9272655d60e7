"""`angelica cron` and `angelica schedules` as users run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Done, run

__all__ = ["run"]

Run = Callable[..., Done]


def test_cron_explains_a_text(run: Run) -> None:
    done = run("cron", "0 0 2,14 * * *", "--tz", "Asia/Shanghai", "--after", "2026-11-21T22:00:00Z", "-n", "2")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Every day at 02:00 and 14:00  (Asia/Shanghai)",
        "",
        "  2026-11-22 14:00:00 +08:00  2026-11-22T06:00:00.000Z",
        "  2026-11-23 02:00:00 +08:00  2026-11-22T18:00:00.000Z",
    ]


def test_cron_speaks_chinese_and_marks_the_clocks(run: Run) -> None:
    asked = ("cron", "30 2 * * *", "--tz", "Europe/Berlin", "--after", "2027-03-27T12:00:00Z", "-n", "1")
    for done in (run(*asked, "--lang", "zh"), run(*asked, LANG="zh_CN.UTF-8", LC_ALL="")):
        assert done.out.splitlines() == [
            "每天 02:30  (Europe/Berlin)",
            "",
            "  2027-03-28 03:00:00 +02:00  2027-03-28T01:00:00.000Z  时钟刚刚拨快",
        ]
    assert "the clocks have just gone forward" in run(*asked, "--lang", "en").out


def test_cron_warns_and_ends(run: Run) -> None:
    done = run("cron", "0", "0", "13", "*", "FRI", "-n", "0", "--lang", "en")
    assert "warning: Both day fields are set and either may match" in done.out
    assert "(no further run)" in run("cron", "0 0 0 1 1 ? 2199", "-n", "2", "--lang", "en").out
    assert "Every 1 minute 30 seconds" in run("cron", "@every 90s").out
    assert "5 times in all" in run("cron", "R5/2150-01-31T09:00/P1M").out


def test_cron_points_at_what_is_wrong(run: Run) -> None:
    done = run("cron", "0 25 * * *")
    assert done.code == 2
    assert done.err.splitlines() == [
        "  0 25 * * *",
        "    ^^",
        "error: cron: hour: 25 is out of range",
        "hint: values are 0-23",
    ]
    assert "L for the last day" in run("cron", "0 0 31 2 *").err
    problem = json.loads(run("cron", "0 25 * * *", "-o", "json").err)
    assert "25 is out of range" in problem["detail"]


def test_cron_knows_when_the_shell_was_faster(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    done = run("cron", "0", "2", "notes.txt", "notes.txt", "notes.txt")
    assert "quote the text" in done.err


def test_cron_in_json_has_both_languages(run: Run) -> None:
    found = json.loads(run("cron", "*/7 * * * *", "-o", "json", "-n", "1").out)
    assert found["description"]["en"] == "Every 7 minutes"
    assert found["warnings"][0]["zh"]
    assert set(found["next_times"][0]) == {"time", "local", "offset", "mark"}


def test_cron_imports_no_server() -> None:
    import subprocess
    import sys

    from tests.cli.conftest import environment

    code = (
        "import sys; sys.argv = ['angelica', 'cron', '* * * * *']\n"
        "from angelica.cli.root import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "heavy = {'starlette', 'uvicorn', 'msgspec', 'apsw', 'httpx2', 'rich', 'asyncio', 'angelica.engine'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, capture_output=True, timeout=30)


def test_a_schedule_from_its_birth_to_its_end(run: Run) -> None:
    done = run(
        "schedules", "add", "angelica.hello", "who=world", "--id", "nightly", "--cron", "0 0 2 * * ?", "--tz",
        "Asia/Shanghai", "-Q", "mail", "--retries", "2", "--set", "max_runs=9", "--set", "task.priority=5", "--paused",
    )  # fmt: skip
    assert (done.code, done.out) == (0, "nightly\n")
    assert "Every day at 02:00 (Asia/Shanghai)" in done.err
    shown = json.loads(run("schedules", "show", "nightly", "-o", "json").out)
    assert (shown["state"], shown["max_runs"], shown["kwargs"]) == ("paused", 9, {"who": "world"})
    assert {name: shown["task"][name] for name in ("queue", "retries", "priority")} == {
        "queue": "mail", "retries": 2, "priority": 5,
    }  # fmt: skip
    assert "nightly" in run("schedules", "list", "--state", "paused").out
    assert run("schedules", "resume", "nightly").code == 0
    assert run("schedules", "edit", "nightly", "cron=0 3 * * *", "max_runs=null", "--version", "1").code == 0
    late = run("schedules", "edit", "nightly", "cron=0 4 * * *", "--version", "1")
    assert late.code == 5
    assert "03:00:00  +08:00" in run("schedules", "next", "nightly", "-n", "1").out
    task = run("schedules", "run", "nightly", "who=you").out.strip()
    assert json.loads(run("tasks", "show", task, "-o", "json").out)["schedule_id"] == "nightly"
    assert task in run("schedules", "fires", "nightly").out
    assert run("schedules", "delete", "nightly", "-q").code == 0
    assert run("schedules", "show", "nightly").code == 3


def test_backfill_and_rehearse(run: Run) -> None:
    assert run("schedules", "add", "angelica.hello", "--id", "h", "--cron", "0 * * * *").code == 0
    stretch = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T03:00:00Z")
    dry = run("schedules", "backfill", "h", *stretch, "--dry-run")
    assert dry.out.splitlines() == ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
    assert "3 stored" in run("schedules", "backfill", "h", *stretch).err
    assert "0 stored, 3 have run already" in run("schedules", "backfill", "h", *stretch).err
    done = run("schedules", "rehearse", "angelica.hello", "--every", "12h", "--past", "1d", "--future", "1d")
    assert [line.split()[0] for line in done.out.splitlines()] == ["WHEN", "past", "past", "future", "future"]


def test_what_is_refused_has_a_code(run: Run) -> None:
    assert run("schedules", "add", "angelica.hello", "--cron", "0 99 * * *").code == 2
    wrong = run("schedules", "add", "angelica.helo", "--cron", "@daily")
    assert (wrong.code, "did you mean angelica.hello" in wrong.err) == (2, True)
    assert run("schedules", "edit", "nobody").code == 2
    assert run("schedules", "edit", "nobody", "jitter=3").code == 3
    assert run("schedules", "frob").code == 2


CRONTAB = "CRON_TZ=Asia/Shanghai\n0 2 * * * /opt/backup.sh --all\n*/90 * * * * x\n@reboot y\n"


def test_an_import_says_first_and_stores_when_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text(CRONTAB)
    asked = ("schedules", "import", "jobs", "--map", "/opt/backup.sh *=angelica.hello")
    dry = run(*asked)
    assert dry.code == 1
    assert "1 schedules, 2 refused; nothing was stored" in dry.err
    assert not (tmp_path / "angelica.db").exists()
    rows = json.loads(run(*asked, "-o", "json").out)
    assert [row["outcome"] for row in rows] == ["schedule", "refused", "refused"]
    assert run("schedules", "add", "angelica.hello", "--cron", "@yearly", "--id", "first").code == 0
    stored = run(*asked, "--apply")
    assert "1 stored, 2 refused" in stored.err
    assert "1 stored, 2 refused" in run(*asked, "--apply").err
    found = json.loads(run("schedules", "list", "--prefix", "backup", "-o", "json").out)
    assert [(each["cron"], each["timezone"]) for each in found] == [("0 2 * * *", "Asia/Shanghai")]


def test_an_import_can_be_kept_as_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text(CRONTAB)
    done = run("schedules", "import", "jobs", "--function", "angelica.hello", "--toml")
    (tmp_path / "schedules.toml").write_text(done.out)
    assert "# line 4: @reboot y" in done.out
    assert run("schedules", "add", "angelica.hello", "--cron", "@yearly", "--id", "first").code == 0
    # `angelica.hello` takes no `command`: what the file says is judged when it is applied.
    applied = run("schedules", "apply", "schedules.toml")
    assert applied.code == 1
    assert "refused" in applied.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "cannot read nowhere"),
        (("jobs", "--tz", "Mars/City"), "Mars/City"),
        (("jobs", "--map", "x"), "is not OLD=FUNCTION"),
        (("jobs", "--from", "celery-beat"), "read as celery-beat"),
    ],
)
def test_an_import_that_cannot_be(run: Run, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "jobs").write_text(CRONTAB)
    done = run("schedules", "import", *arguments)
    assert done.code in (2, 3)
    assert words in done.err
