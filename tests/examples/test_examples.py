"""The example application, on a copy of its directory: its tasks do their real work through a real engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

LEDE = """
import json, mailbox, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from app import engine
import mail, pages, reports
from mail import Letter


class Site(BaseHTTPRequestHandler):
    body = b"first"

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments): ...
"""


@pytest.fixture
def run(tmp_path):
    """Runs a program in a copy of the examples, in a process of its own (they keep their state in their directory)."""
    home = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", home, ignore=shutil.ignore_patterns("output", "*.db*", "__pycache__"))

    def run(program):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANGELICA_")}
        done = subprocess.run(
            [sys.executable, "-c", LEDE + textwrap.dedent(program)],
            cwd=home,
            env={**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return home

    return run


def test_a_csv_becomes_a_report(run):
    home = run("""
        with engine:
            handle = reports.report_gen.enqueue()
            path = Path(handle.result(20))
            assert handle.task.queue == "etl"
            assert json.loads(handle.task.progress)["fraction"] > 0.9
            lines = [line.message for line in handle.logs()]
            assert any("dropped" in line for line in lines), lines
            assert lines[-1] == f"wrote {path}"

            imported = reports.data_import.enqueue("orders.csv").result(20)
            assert imported["rows"] == len(json.loads(Path(imported["path"]).read_text("utf-8")))
            assert sum(imported["dropped"].values()) > 0

            missing = reports.data_import.enqueue("../../etc/passwd").wait(20)
            assert (missing.status, missing.task.attempt, missing.task.error.reason) == ("FAILED", 1, "fail")
    """)
    report = (home / "output" / "report-orders.md").read_text("utf-8")
    assert report.startswith("# Orders in orders.csv\n\n| country | orders | total |")
    totals = [float(line.split("|")[3]) for line in report.splitlines()[4:] if line.startswith("|")]
    assert len(totals) >= 3
    assert totals == sorted(totals, reverse=True)


def test_a_page_is_checked_for_changes(run):
    run("""
        site = HTTPServer(("127.0.0.1", 0), Site)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{site.server_port}/"
        with engine:
            answers = []
            for body in (b"first", b"first", b"second"):
                Site.body = body
                answers.append(pages.check_page.enqueue(url=url).result(20))
            assert [answer["first"] for answer in answers] == [True, False, False]
            assert [answer["changed"] for answer in answers] == [False, False, True]
            assert answers[-1]["bytes"] == len(b"second")
            refused = pages.check_page.enqueue(url="file:///etc/passwd").wait(20)
            assert (refused.status, refused.task.attempt) == ("FAILED", 1)
            site.shutdown()
            site.server_close()
            gone = pages.check_page.using(retries=1, backoff={"kind": "fixed", "delay": 0.05}).enqueue(url=url).wait(20)
            assert (gone.status, gone.task.attempt) == ("FAILED", 2)
    """)


def test_a_letter_arrives_in_the_maildir(run):
    home = run("""
        with engine:
            handle = mail.send_mail.enqueue(Letter("ann@example.org", "Grüße", "Guten Tag."))
            key = handle.result(20)
            (message,) = list(mailbox.Maildir(mail.MAILDIR))
            assert message["To"] == "ann@example.org"
            assert message["Message-ID"] == f"<{handle.id}@localhost>"
            assert [line.message for line in handle.logs()] == ["delivered to ann@example.org"]
            assert mail.page_viewed.enqueue("/").wait(20).durable is False
            assert mail.views == {"/": 1}
    """)
    assert len(list((home / "output" / "maildir" / "new").iterdir())) == 1


def test_the_web_application_hands_its_work_over(run):
    pytest.importorskip("fastapi")
    home = run("""
        import time
        from starlette.testclient import TestClient
        from web import app

        with TestClient(app, client=("127.0.0.1", 5000), base_url="http://localhost") as client:
            answer = client.post("/signup?email=ann@example.org")
            assert answer.status_code == 202, answer.text
            there = answer.headers["location"]
            assert there == f"/angelica/tasks/{answer.json()['task_id']}"
            ends_at = time.monotonic() + 20
            while client.get(there).json()["status"] not in ("SUCCEEDED", "FAILED"):
                assert time.monotonic() < ends_at
            assert client.get(there).json()["status"] == "SUCCEEDED"
            assert mail.views == {"/signup": 1}
        assert engine.state == "TERMINATED"
    """)
    assert len(list((home / "output" / "maildir" / "new").iterdir())) == 1


def test_the_settings_file_names_the_application(run):
    run("""
        from angelica import Settings

        settings = Settings.load()
        assert settings.app == "app:engine"
        assert sorted(engine.functions.names()) == [
            "DATA_IMPORT", "REPORT_GEN", "mail.page_viewed", "mail.send_mail", "pages.check_page"
        ]
    """)


def test_the_training_run_is_a_command(run):
    run("""
        with engine:
            handle = engine.commands.enqueue(
                "python train.py --epoch 5", task_id="job-001", resources={"cpu": 0.5, "memory": "1GB"}
            )
            result = handle.result(30)
            assert result["exit_code"] == 0, result
            assert result["peak_memory"] > 1_000_000
            lines = [line.message for line in handle.logs()]
            assert [line.split()[1] for line in lines[:5]] == [f"{n}/5" for n in range(1, 6)]
            assert handle.task.usage.cpu_seconds > 0
            for text in ("python other.py", "python train.py --epoch 5; id"):
                try:
                    engine.commands.enqueue(text)
                except Exception as error:
                    assert type(error).__name__ == "CommandNotAllowed", error
                else:
                    raise AssertionError(text)
    """)
