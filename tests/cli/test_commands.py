"""Commands that need no server: what they print and how they exit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelica import Engine, __version__
from angelica.cli.output import cell

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it is refused


@pytest.mark.parametrize("words", [["version"], ["--version"], ["version", "-q"]])
def test_version(run, words: list[str]) -> None:
    done = run(*words)
    assert (done.code, done.out) == (0, f"angelica {__version__}\n")


def test_version_imports_next_to_nothing(run) -> None:
    done = run("version", PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "click" not in loaded
    assert "asyncio" not in loaded


def test_help_lists_all_commands(run) -> None:
    done = run("--help")
    assert done.code == 0
    for name in ("dev", "serve", "enqueue", "tasks", "db", "doctor", "completion"):
        assert f"  {name} " in done.out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["tsks"], 2, "there is no command 'tsks'"),
        (["tasks", "lst"], 2, "angelica tasks has no 'lst'"),
        (["version", "--nope"], 2, "No such option"),
        (["tasks", "list"], 69, "there is no store at angelica.db"),
        (["tasks", "list", "--api", "http://127.0.0.1:9"], 69, "cannot reach http://127.0.0.1:9"),
        (["tasks", "list", "--api", "x", "--url", "y"], 2, "exclude each other"),
        (["enqueue", "f", "novalue"], 2, "is not K=V"),
        (["enqueue", "nosuch"], 2, "no function is called 'nosuch'"),
        (["enqueue", "angelica.hello", "whom=x"], 2, "whom"),
        (["dev", "app.py"], 2, "is a file"),
        (["dev", "--host", EVERYWHERE], 2, "asks for no token"),
        (["dev", "--url", "memory:"], 2, "lives in one process"),
        (["worker", "nosuch:engine"], 2, "there is no module 'nosuch'"),
        (["serve", "--host", EVERYWHERE], 4, "speaks plain HTTP"),
        (["serve", "--host", EVERYWHERE, "--insecure"], 4, "there is no token yet"),
        (["db", "backup", "copy.db"], 3, "there is no store"),
        (["db", "restore", "nosuch.db", "--yes"], 3, "there is no file"),
    ],
)
def test_refusals_say_what_and_how_to_mend(run, words: list[str], code: int, error: str) -> None:
    done = run(*words)
    first, *rest = done.err.splitlines()
    assert done.code == code, done.err
    assert first.startswith("error: ")
    assert error in first
    assert all(line.startswith("hint: ") for line in rest)
    assert done.out == ""


def test_errors_are_problems_with_json_output(run) -> None:
    done = run("-o", "json", "tasks", "list")
    assert done.code == 69
    assert json.loads(done.err)["detail"] == "there is no store at angelica.db"


def test_init_never_overwrites(run, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine = 1\n")
    (tmp_path / ".gitignore").write_text("*.pyc")
    assert run("init").code == 0
    assert (tmp_path / "app.py").read_text() == "mine = 1\n"
    assert 'app = "app:engine"' in (tmp_path / "angelica.toml").read_text()
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\nangelica.db*\n.angelica/\n"
    assert run("init").code == 0
    assert (tmp_path / ".gitignore").read_text().count("angelica.db*") == 1


@pytest.mark.parametrize("kind", ["--plain", "--fastapi"])
def test_init_writes_an_app_that_loads(run, tmp_path: Path, kind: str) -> None:
    assert run("init", kind).code == 0
    done = run("enqueue", "app.welcome", "email=a@example.com", "--app", "app:engine")
    assert done.code == 0, done.err
    assert len(done.out.split()) == 1


def test_config_shows_where_values_come_from(run, tmp_path: Path) -> None:
    (tmp_path / "angelica.toml").write_text('grace = "7s"\n')
    done = run("config", "show", "--origin", "-o", "json", ANGELICA_WORKERS="3")
    found = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(done.out)}
    assert found["grace"] == ("7s", "angelica.toml")
    assert found["workers"] == (3, "environment variable ANGELICA_WORKERS")
    assert found["port"] == (8765, "default")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell: str) -> None:
    done = run("completion", shell)
    assert done.code == 0
    assert "_ANGELICA_COMPLETE" in done.out


def test_completion_completes(run) -> None:
    done = run(_ANGELICA_COMPLETE="bash_complete", COMP_WORDS="angelica ta", COMP_CWORD="1")
    assert done.out == "plain,tasks\n"


def test_db_life(run, tmp_path: Path) -> None:
    assert run("db", "migrate").code == 0
    assert (tmp_path / "angelica.db").stat().st_mode & 0o777 == 0o600
    task_id = run("enqueue", "angelica.hello").out.strip()
    assert run("db", "check").code == 0
    assert "schema_version" in run("db", "status").out
    assert run("db", "backup", "copy.db").code == 0
    assert run("db", "backup", "copy.db").code == 5
    assert run("enqueue", "angelica.hello", "--id", "later").code == 0
    assert run("db", "restore", "copy.db", "--yes").code == 0
    assert run("tasks", "list", "-o", "ids").out.split() == [task_id]
    assert run("db", "prune").code == 0
    assert run("db", "clock").out.endswith(" s\n")
    assert "create table tasks" in run("db", "sql").out


def test_restore_says_what_to_end_while_the_store_is_in_use(run, tmp_path: Path) -> None:
    assert run("db", "migrate").code == 0
    assert run("db", "backup", "copy.db").code == 0
    with Engine(str(tmp_path / "angelica.db"), embed="off"):
        done = run("db", "restore", "copy.db", "--yes")
    assert done.code == 69
    assert "in use" in done.err
    assert "hint: end `angelica serve`" in done.err


def test_show_ends_with_the_stack_of_the_last_error(run, tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "angelica.db"))

    @engine.task(name="bad", retries=0)
    def bad() -> None:
        raise ValueError("two\nlines \x1b[31m")

    with engine:
        task = bad.enqueue()
        task.wait(timeout=30)
    shown = run("tasks", "show", task.id).out
    assert "\nTraceback (most recent call last):\n" in shown
    assert shown.splitlines()[-1] == "lines \\x1b[31m"
    assert json.loads(run("tasks", "show", task.id, "-o", "json").out)["error"]["stack"]


def test_a_short_duration_is_not_nothing() -> None:
    assert [cell(value) for value in (0.000217, 0.0, 0.25, 12.0)] == ["0.000217", "0", "0.25", "12"]


def test_doctor_is_red_for_a_store_that_others_may_read(run, tmp_path: Path) -> None:
    assert run("db", "migrate").code == 0
    assert run("doctor").code == 0
    (tmp_path / "angelica.db").chmod(0o644)
    done = run("doctor", "-o", "json")
    assert done.code == 1
    red = [row for row in json.loads(done.out) if row["state"] == "red"]
    assert red[0]["check"] == "store file"
    assert "chmod 600" in red[0]["fix"]


def test_arguments_are_json_where_they_are_json(run) -> None:
    task_id = run("enqueue", "angelica.sleep", "seconds=0.5", "--in", "1h", "-l", "env=prod").out.strip()
    task = json.loads(run("tasks", "show", task_id, "-o", "json").out)
    assert task["state"] == "scheduled"
    assert task["labels"] == {"env": "prod"}
    assert run("tasks", "list", "-l", "env=test", "-o", "ids").out == ""
    assert run("tasks", "list", "-s", "scheduled", "-o", "ids").out.split() == [task_id]
    assert run("tasks", "why", task_id).out.strip()
    assert run("tasks", "wait", task_id, "-t", "0.1s").code == 75
    assert run("tasks", "retry", task_id).code == 5
    assert run("tasks", "cancel", task_id).code == 0
    assert run("tasks", "cancel", task_id).code == 5
    assert run("tasks", "wait", task_id).code == 1
    assert run("tasks", "show", "nosuch").code == 3
    assert run("tasks", "logs", "nosuch").code == 3


def test_arguments_from_stdin_and_files(run, tmp_path: Path) -> None:
    assert run("enqueue", "angelica.hello", "--json", "-", stdin='{"who": "stdin"}').code == 0
    (tmp_path / "who.txt").write_text("file")
    assert run("enqueue", "angelica.hello", "who=@who.txt").code == 0
    assert run("enqueue", "angelica.hello", "--json", "-", stdin="[1]").code == 2
    assert run("enqueue", "angelica.hello", "--json", "nosuch.json").code == 3


def test_what_a_task_wrote_cannot_steer_the_terminal(run) -> None:
    assert run("enqueue", "angelica.hello", "--id", "x", "-l", "evil=\x1b[31mred\nline").code == 0
    out = run("tasks", "list", "-o", "wide").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
