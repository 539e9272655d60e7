"""The stores that the tests of the engine run on."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["memory", "sqlite"])
def url(request, tmp_path):
    return "memory:" if request.param == "memory" else str(tmp_path / "angelica.db")
