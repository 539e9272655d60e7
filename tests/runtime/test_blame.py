"""Who is to blame for an exception, and for how long it asks to be left alone."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from angelica.clock import SECOND
from angelica.runtime.blame import blames, leave_alone

WALL = 1_700_000_000 * SECOND


class Told(Exception):
    def __init__(self, **parts):
        super().__init__("told")
        self.__dict__.update(parts)


class Broken(Exception):
    @property
    def response(self):
        raise RuntimeError


def test_without_a_list_all_blame_it():
    assert blames(ValueError(), ())


@pytest.mark.parametrize("name", ["ConnectionError", "OSError", "builtins.OSError", "ConnectionRefusedError"])
def test_a_class_or_one_above_it_blames(name):
    assert blames(ConnectionRefusedError(), (name,))
    assert not blames(KeyError(), (name,))


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_overloaded_is_to_blame_in_any_case(status):
    for error in (
        Told(status_code=status),
        Told(status=status),
        Told(response=SimpleNamespace(status_code=status)),
        Told(response=SimpleNamespace(status=status)),
    ):
        assert blames(error, ("KeyError",))
    assert not blames(Told(status_code=404), ("KeyError",))
    assert not blames(Broken(), ("KeyError",))


def test_an_exception_says_how_long():
    later = "Tue, 14 Nov 2023 22:14:20 GMT"
    assert leave_alone(Told(retry_after=7), WALL) == 7 * SECOND
    assert leave_alone(Told(retry_after="1.5"), WALL) == 1_500_000
    assert leave_alone(Told(retry_after=timedelta(minutes=1)), WALL) == 60 * SECOND
    assert leave_alone(Told(headers={"retry-after": "30"}), WALL) == 30 * SECOND
    assert leave_alone(Told(response=SimpleNamespace(headers={"Retry-After": later})), WALL) == 60 * SECOND
    assert leave_alone(Told(retry_after=-3), WALL) == 0


@pytest.mark.parametrize("said", ["soon", float("nan"), float("inf"), object(), None])
def test_what_cannot_be_read_says_nothing(said):
    assert leave_alone(Told(retry_after=said), WALL) is None
    assert leave_alone(Told(headers={"Retry-After": said}), WALL) is None
    assert leave_alone(Broken(), WALL) is None
    assert leave_alone(ValueError(), WALL) is None
