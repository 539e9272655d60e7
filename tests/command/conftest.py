"""A directory for the places of commands, removed with all that is in it."""

from __future__ import annotations

import pytest

from tests.command.house import make_directory, remove_directory


@pytest.fixture
def directory():
    above = make_directory()
    yield str(above / "places")
    remove_directory(above)
