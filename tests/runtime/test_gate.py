"""Gates: so many of a function inside, the others in order, and nobody is forgotten."""

from __future__ import annotations

from angelica.runtime.gate import Gates
from tests.runtime.house_of_attempts import assignment, no_handler


def made(count, concurrency=1):
    return [assignment(no_handler, str(n), concurrency=concurrency) for n in range(count)]


def test_the_next_is_admitted_when_one_leaves_in_order():
    admitted = []
    gates = Gates(admitted.append)
    first, second, third, fourth = made(4, concurrency=2)
    assert [gates.enter(each) for each in (first, second, third, fourth)] == [True, True, False, False]
    assert gates.waiting() == 2
    gates.leave(second)
    assert admitted == [third]
    gates.leave(first)
    gates.leave(third)
    assert admitted == [third, fourth]
    assert gates.waiting() == 0


def test_one_that_was_told_to_stop_is_admitted_too_so_that_its_executor_ends_it():
    admitted = []
    gates = Gates(admitted.append)
    first, second, third = made(3)
    for each in (first, second, third):
        gates.enter(each)
    second.stop("release")
    gates.leave(first)
    assert admitted == [second]
    gates.leave(second)
    assert admitted == [second, third]


def test_one_that_waits_can_be_recalled():
    admitted = []
    gates = Gates(admitted.append)
    first, second, third = made(3)
    for each in (first, second, third):
        gates.enter(each)
    assert gates.recall(second) is True
    assert gates.recall(second) is False
    assert gates.recall(first) is False
    gates.leave(first)
    assert admitted == [third]


def test_all_that_wait_can_be_withdrawn():
    gates = Gates(lambda each: None)
    first, second, third = made(3)
    for each in (first, second, third):
        gates.enter(each)
    assert gates.withdraw() == [second, third]
    assert gates.withdraw() == []
    gates.leave(first)
    assert gates.enter(second) is True
