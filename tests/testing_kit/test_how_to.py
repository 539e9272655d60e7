"""The examples of the page on testing, run by pytest as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres.session import session
from tests.testing_kit.loading import ALONE, BY_NAME, LOAD

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "testing.md"
FILE = re.compile(r"^```python title=\"([^\"]+)\"\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTINGS = re.compile(r"^```ini\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("store", ["memory", "sqlite", "postgres"])
def test_the_tests_on_the_page_pass(store, tmp_path):
    text = PAGE.read_text("utf-8")
    for name, code in FILE.findall(text):
        (tmp_path / name).write_text(code, "utf-8")
    (tmp_path / "pytest.ini").write_text(SETTINGS.findall(text)[0] + "pythonpath = .\n", "utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANGELICA_", "PYTEST_"))}
    if store != "memory":
        kept.update(ALONE)
    if store == "postgres":
        kept["ANGELICA_TEST_POSTGRES"] = session().server().url()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *(LOAD if store == "memory" else BY_NAME),
        f"--angelica-store={store}",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "shop.db").exists()
