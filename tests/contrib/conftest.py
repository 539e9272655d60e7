from __future__ import annotations

import pytest

from tests.http.house import House


@pytest.fixture
def house() -> House:
    return House()
