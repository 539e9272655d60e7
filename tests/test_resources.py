"""Resources: how they are read, what fits, and how limits become smaller by them."""

from __future__ import annotations

import pytest

from angelica.domain.command import Limits
from angelica.domain.exit_code import exit_code_of, exited_text, signalled_text
from angelica.domain.resources import Capacity, shown
from angelica.domain.task import TaskError
from angelica.errors import InvalidValue
from angelica.runtime.drafts import read_draft
from angelica.runtime.limits.capacity import capacity, cpu_count

GIB = 1 << 30


def read(resources: object) -> object:
    return read_draft({"name": "f", "resources": resources}).options.resources


def test_they_are_read_with_their_units() -> None:
    assert read({"cpu": 2, "memory": "4GB"}) == {"cpu": 2.0, "memory": 4_000_000_000}
    assert read({"cpu": 0.5, "memory": None}) == {"cpu": 0.5}
    assert read({"memory": 1 << 30}) == {"memory": GIB}
    assert read({}) == {}  # it needs nothing, whatever its function declares
    assert read(None) is None


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        (3, "/resources"),
        ([], "/resources"),
        ({"gpu": 1}, "/resources/gpu"),
        ({"a/b": 1}, "/resources/a~1b"),
        ({"cpu": "2"}, "/resources/cpu"),
        ({"cpu": True}, "/resources/cpu"),
        ({"cpu": 0}, "/resources/cpu"),
        ({"cpu": -1}, "/resources/cpu"),
        ({"cpu": 1e9}, "/resources/cpu"),
        ({"cpu": float("nan")}, "/resources/cpu"),
        ({"memory": "much"}, "/resources/memory"),
        ({"memory": -5}, "/resources/memory"),
        ({"memory": "1KB"}, "/resources/memory"),
        ({"memory": 1.5}, "/resources/memory"),
    ],
)
def test_what_is_wrong_is_named(resources: object, field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read(resources)
    assert refused.value.field == field


def test_a_capacity_is_what_may_be_taken_together() -> None:
    made = Capacity(2.0, 4 * GIB)
    assert made.fits({"cpu": 2, "memory": 4 * GIB})
    assert not made.fits({"cpu": 2.01})
    assert not made.fits({"memory": 4 * GIB + GIB // 8})
    assert made.fits_beside([{"cpu": 0.1}] * 19, {"cpu": 0.1})
    assert not made.fits_beside([{"cpu": 1.5}], {"cpu": 1})
    assert made.fits_beside([{"cpu": 2}], {"memory": GIB})
    assert Capacity().fits({"cpu": 1024, "memory": 1 << 50})
    assert shown({"cpu": 2.0, "memory": 5_000_000}) == "2 CPUs and 5,000,000 bytes of memory"


def test_this_machine_has_something_to_give() -> None:
    found = capacity()
    assert found.cpu == cpu_count() >= 1
    assert found.memory > GIB // 4
    assert capacity(0.5, GIB) == Capacity(0.5, GIB)


def test_limits_are_the_smaller_of_two() -> None:
    configured = Limits(memory=GIB, cpu=1.0, pids=7)
    assert configured.within({}) is configured
    assert configured.within({"cpu": 2, "memory": GIB // 2}) == Limits(GIB // 2, 1.0, 7)
    assert Limits().within({"cpu": 2, "memory": 4e9}) == Limits(4_000_000_000, 2)
    assert Limits(memory=5).within({"cpu": 1}) == Limits(5, 1)


def test_an_error_tells_of_the_exit_code() -> None:
    def error(message: str) -> TaskError:
        return TaskError("exit_code", message=message)

    assert exit_code_of(error(exited_text(3))) == (3, None)
    assert exit_code_of(error(signalled_text(9))) == (None, 9)
    assert exit_code_of(error(signalled_text(63))) == (None, 63)
    assert exit_code_of(TaskError("exception", message=exited_text(3))) == (None, None)
    assert exit_code_of(None) == (None, None)
