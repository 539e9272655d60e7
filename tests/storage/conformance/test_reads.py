"""Reading: tasks by id, filters, pages, counts, places in line, functions."""

from __future__ import annotations

import pytest

from angelica.clock import SECOND
from angelica.domain.outcome import Crashed, Failed, Released, Snoozed
from angelica.domain.task import State, TaskError
from angelica.storage.protocol import FunctionRow, TaskFilter
from tests.storage.world import START, World, ids, new


def test_tasks_are_read_position_by_position(world: World) -> None:
    world.submit(new("a"), new("b"))
    found = world.run(world.storage.get_tasks(["b", "none", "a", "b"]))
    assert [task and task.id for task in found] == ["b", None, "a", "b"]
    assert world.run(world.storage.get_tasks([])) == ()


@pytest.fixture
def crowd(world: World) -> World:
    """One task of most kinds, `created_at` in order of name."""
    world.submit(
        new("a", "mail.send", created_at=START + 1, labels={"team": "x", "k": "1"}),
        new("b", "mail.drop", created_at=START + 2, queue="q1", labels={"team": "y"}),
        new("c", "mail", created_at=START + 3, queue="q10", parent_id="a"),
        new("d", "math", created_at=START + 4, queue="q_", retry_of="a", labels={"team": "x"}),
        new("e", "ma%l", created_at=START + 5, run_at=START + SECOND),
    )
    a, b, c, _d = sorted(world.claim(), key=lambda task: task.id)
    world.end(a)
    world.end(b, Released(held="unknown_function"))
    world.end(c, Failed(TaskError("exception"), retry_after=SECOND))
    return world


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "abcde"),
        ({"states": frozenset({State.SUCCEEDED})}, "a"),
        ({"states": frozenset({State.RUNNING, State.SCHEDULED})}, "cde"),
        ({"states": frozenset()}, ""),
        ({"queues": ("default",)}, "ae"),
        ({"queues": ("q1",)}, "b"),
        ({"queues": ("q1*",)}, "bc"),
        ({"queues": ("q_*",)}, "d"),
        ({"queues": ("default", "q_")}, "ade"),
        ({"queues": ("*",)}, "abcde"),
        ({"functions": ("mail",)}, "c"),
        ({"functions": ("mail*",)}, "abc"),
        ({"functions": ("mail.*",)}, "ab"),
        ({"functions": ("ma%*",)}, "e"),
        ({"functions": ("MAIL*",)}, ""),
        ({"functions": ("math", "mail.send")}, "ad"),
        ({"labels": {"team": "x"}}, "ad"),
        ({"labels": {"team": "x", "k": "1"}}, "a"),
        ({"labels": {"team": "z"}}, ""),
        ({"created_after": START + 3}, "cde"),
        ({"created_before": START + 3}, "ab"),
        ({"created_after": START + 2, "created_before": START + 4}, "bc"),
        ({"held": True}, "b"),
        ({"held": False}, "acde"),
        ({"retrying": True}, "c"),
        ({"retrying": False}, "abde"),
        ({"parent_id": "a"}, "c"),
        ({"retry_of": "a"}, "d"),
        ({"states": frozenset({State.SUCCEEDED}), "queues": ("q1",)}, ""),
        ({"queues": ("default",), "labels": {"team": "x"}}, "a"),
        ({"states": frozenset(), "parent_id": "a"}, ""),
        ({"states": frozenset({State.CANCELLED, State.FAILED}), "labels": {"team": "x"}, "held": False}, ""),
        ({"parent_id": "a", "retry_of": "a", "retrying": True}, ""),
        ({"parent_id": "a", "functions": ("m*",), "retrying": True, "created_after": START}, "c"),
    ],
)
def test_filters(crowd: World, where: dict[str, object], expected: str) -> None:
    assert "".join(crowd.found(**where)) == expected


def test_retrying_is_backing_off_after_a_failure_or_a_crash(world: World) -> None:
    world.submit(new("failed"), new("crashed"), new("snoozed"))
    crashed, failed, snoozed = sorted(world.claim(), key=lambda task: task.id)
    world.end(failed, Failed(TaskError("exception"), retry_after=SECOND))
    world.end(crashed, Crashed(TaskError("crashed")))
    world.end(snoozed, Snoozed(START + SECOND))
    # A crashed task is ready again at once: it does not back off.
    assert world.found(retrying=True) == ["failed"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_meet_without_gap_or_overlap(world: World, newest_first: bool) -> None:
    # Five moments, two tasks each: the id decides between equals.
    world.submit(*[new(f"t{n}", created_at=START + n // 2) for n in range(10)])
    expected = [f"t{n}" for n in range(10)]
    if newest_first:
        expected.reverse()
    seen, after = [], None
    for _ in range(4):
        page = world.run(world.storage.list_tasks(TaskFilter(), limit=3, after=after, newest_first=newest_first))
        seen += ids(page.items)
        after = page.next
    assert seen == expected
    assert after is None


def test_a_full_last_page_has_no_next(world: World) -> None:
    world.submit(new("a"), new("b"))
    page = world.run(world.storage.list_tasks(TaskFilter(), limit=2))
    assert (ids(page.items), page.next) == (["b", "a"], None)
    page = world.run(world.storage.list_tasks(TaskFilter(), limit=1))
    assert (ids(page.items), page.next) == (["b"], (START, "b"))


def test_a_filter_is_kept_over_pages(world: World) -> None:
    world.submit(*[new(f"t{n}", queue="ab"[n % 2]) for n in range(6)])
    where = TaskFilter(queues=("a",))
    page = world.run(world.storage.list_tasks(where, limit=2, newest_first=False))
    assert ids(page.items) == ["t0", "t2"]
    page = world.run(world.storage.list_tasks(where, limit=2, newest_first=False, after=page.next))
    assert (ids(page.items), page.next) == (["t4"], None)


def test_counts_follow_every_step(world: World) -> None:
    assert world.counts() == {}
    world.submit(new("a"), new("b"), new("c", queue="q", run_at=START + 1))
    assert world.counts() == {("default", "queued"): 2, ("q", "scheduled"): 1}
    a, b = world.claim()
    assert world.counts() == {("default", "running"): 2, ("q", "scheduled"): 1}
    world.end(a)
    world.end(b, Failed(TaskError("exception"), retry_after=SECOND))
    world.cancel("c")
    assert world.counts() == {("default", "succeeded"): 1, ("default", "scheduled"): 1, ("q", "cancelled"): 1}
    world.clock.advance(SECOND)
    world.run(world.storage.promote_due(now=world.now))
    world.run(world.storage.delete_tasks(["a", "c"]))
    assert world.counts() == {("default", "queued"): 1}


def test_the_place_in_line(world: World) -> None:
    world.submit(
        new("first", run_at=START - 9),
        new("a"),
        new("b"),
        new("c"),
        new("high", priority=1),
        new("low", priority=-1),
        new("thread", executor="thread", priority=9),
        new("elsewhere", queue="q", priority=9),
        new("later", run_at=START + 1, priority=9),
    )

    def ahead(task_id: str, **options: int) -> int:
        return world.run(world.storage.count_ahead(world.get(task_id), **options))

    names = ["high", "first", "a", "b", "c", "low"]
    assert [ahead(name) for name in names] == [0, 1, 2, 3, 4, 5]
    assert ahead("low", limit=3) == 3
    assert ahead("thread") == 0
    world.claim(2, queues=("default",), room=(("async", 2),))
    assert ahead("low") == 3


def test_a_held_task_is_not_in_line(world: World) -> None:
    world.end(world.start("a"), Released(held="unknown_function"))
    world.submit(new("b"))
    assert world.run(world.storage.count_ahead(world.get("b"))) == 0


def test_functions_are_kept_by_name(world: World) -> None:
    rows = [FunctionRow(name, 1, "async", '{"type":"object"}', "{}", "doc ü", START) for name in ("g", "f")]
    world.run(world.storage.put_functions(rows))
    assert world.run(world.storage.list_functions()) == (rows[1], rows[0])
    newer = FunctionRow("f", 2, "thread", "{}", '{"queue":"q"}', "", START + 1)
    world.run(world.storage.put_functions([newer]))
    assert world.run(world.storage.list_functions()) == (newer, rows[0])
    world.run(world.storage.put_functions([]))


def test_held_tasks_are_counted_by_rule_and_function(world: World) -> None:
    world.submit(new("a", "f"), new("b", "f"), new("c", "g"), new("d", "g"), new("e", "f"))
    a, b, c, d, _ = world.claim()
    for task in (a, b, c):
        world.end(task, Released(held="unknown_function"))
    world.end(d, Released(held="paused"))
    counts = {("unknown_function", "f"): 2, ("unknown_function", "g"): 1, ("paused", "g"): 1}
    assert world.run(world.storage.count_held()) == counts
    assert world.run(world.storage.count_held(limit=1)) == dict.fromkeys(counts, 1)
    world.beat("w2", functions=("f",))
    world.cancel("d")
    assert world.run(world.storage.count_held()) == {("unknown_function", "g"): 1}
