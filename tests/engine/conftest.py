"""The stores that the tests of the engine run on."""

from __future__ import annotations

import pytest

from tests.postgres.session import session


def _url(kind, tmp_path):
    match kind:
        case "memory":
            return "memory:"
        case "sqlite":
            return str(tmp_path / "angelica.db")
        case _:
            return session().fresh_url()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request, tmp_path):
    return _url(request.param, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request, tmp_path):
    """The address of a store that several engines can have open, and that outlives them."""
    return _url(request.param, tmp_path)
