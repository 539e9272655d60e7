from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.http.house import House
from tests.http.stores import house, over_stores

__all__ = ["house"]
pytest_generate_tests = over_stores


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    with house.client() as client:
        yield client
