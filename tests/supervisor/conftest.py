"""The tests here start processes; they must find the same code as pytest does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import angelica


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    source = str(Path(angelica.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{source}{os.pathsep}{path}" if path else source)
