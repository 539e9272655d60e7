"""Placement in a worker: what is counted from the claim to the end, and what the claim is told."""

from __future__ import annotations

from angelica.domain.placement import Space
from angelica.domain.resources import Amount, Capacity
from angelica.domain.task import NOTHING, Extras, State, Task
from angelica.runtime.assignment import Assignment
from angelica.runtime.code import NOBODY
from angelica.runtime.placement import Placement
from tests.storage.world import new

CAPACITY = Capacity(2.0, 1 << 30)


def made(name: str, **resources: float) -> Assignment:
    spec = new(name, resources=resources or NOTHING)
    return Assignment(Task(spec, State.RUNNING, attempt=1), NOBODY, NOBODY, None, 0, lambda _: None)


def test_who_says_what_it_needs_counts_from_its_claim_to_its_end() -> None:
    placement = Placement(CAPACITY)
    one, other, plain = made("one", cpu=0.5), made("other", cpu=1, memory=1 << 29), made("plain")
    for assignment in (one, other, plain):
        placement.enter(assignment)
    assert placement.space({"async": 3}) == Space(CAPACITY, Amount(1500, 1 << 29), {"async": 3})
    assert placement.leave(one)
    assert not placement.leave(one)
    assert not placement.leave(plain)
    assert placement.busy
    assert placement.leave(other)
    assert not placement.busy
    assert placement.space({}) == Space(CAPACITY, Amount(0, 0), {})


def test_extras_may_be_about_something_else() -> None:
    placement = Placement(CAPACITY)
    spec = new("a")
    object.__setattr__(spec, "extras", Extras(labels={"a": "b"}))
    placement.enter(Assignment(Task(spec, State.RUNNING, attempt=1), NOBODY, NOBODY, None, 0, lambda _: None))
    assert not placement.busy
