"""Log lines, checkpoints and progress: fenced by the lease, read back in order (law 3)."""

from __future__ import annotations

from angelica.domain.outcome import Released
from angelica.domain.task import Lease
from angelica.storage.protocol import LogLine, Note
from tests.storage.world import START, World, line, new


def append(world: World, *lines: LogLine) -> frozenset[Lease]:
    return world.run(world.storage.append_logs(lines))


def annotate(world: World, *notes: Note) -> frozenset[Lease]:
    return world.run(world.storage.annotate(notes))


def read(world: World, task_id: str, **options) -> list[tuple[int, int]]:
    return [(row.attempt, row.seq) for row in world.run(world.storage.read_logs(task_id, **options))]


def test_lines_come_back_as_they_were(world: World) -> None:
    task = world.start("a")
    lines = [
        LogLine("a", 1, 1, START, "log", "warning", "app.ü", "text with \n newline, 'quotes' and \x1b"),
        LogLine("a", 1, 2, START + 1, "stdout", "", "", ""),
        LogLine("a", 1, 3, START + 2, "stderr", "", "", "x" * 20_000),
        LogLine("a", 1, 4, START + 3, "note", "", "", "7 lines dropped"),
    ]
    assert append(world, *lines) == frozenset()
    assert list(world.run(world.storage.read_logs(task.id))) == lines


def test_lines_are_stored_with_the_end_that_they_belong_to(world: World) -> None:
    task = world.start("a")
    reply = world.exchange([world.completion(task)], journal=[line(task, 1), line(task, 2)])
    assert reply.accepted == (True,)
    assert read(world, "a") == [(1, 1), (1, 2)]


def test_lines_of_another_attempt_are_refused(world: World) -> None:
    first = world.start("a")
    append(world, line(first, 1))
    world.end(first, Released())
    assert append(world, line(first, 2)) == {first.lease}
    (second,) = world.claim(worker="w2")
    assert append(world, line(first, 3), line(second, 1), line(first, 4)) == {first.lease}
    assert read(world, "a") == [(1, 1), (2, 1)]


def test_a_late_line_in_an_exchange_writes_nothing_and_hurts_nothing(world: World) -> None:
    first = world.start("a")
    world.end(first, Released())
    (second,) = world.claim()
    assert world.exchange([world.completion(second)], journal=[line(first, 1), line(second, 1)]).accepted == (True,)
    assert read(world, "a") == [(2, 1)]


def test_nothing_is_added_after_the_end_or_to_nothing(world: World) -> None:
    task = world.start("a")
    world.end(task)
    stray = LogLine("none", 1, 1, START, "log", "info", "", "")
    assert append(world, line(task, 1), stray) == {task.lease, Lease("none", 1)}
    assert read(world, "a") == []
    assert read(world, "none") == []


def test_a_repeated_line_is_stored_once(world: World) -> None:
    task = world.start("a")
    append(world, line(task, 1, "first"), line(task, 2))
    assert append(world, line(task, 1, "again"), line(task, 3)) == frozenset()
    assert [row.message for row in world.run(world.storage.read_logs("a"))] == ["first", "text", "text"]


def test_lines_that_come_out_of_order_are_read_in_order(world: World) -> None:
    task = world.start("a")
    append(world, line(task, 3), line(task, 1))
    append(world, line(task, 2))
    assert read(world, "a") == [(1, 1), (1, 2), (1, 3)]


def test_a_reader_goes_on_from_its_cursor(world: World) -> None:
    first = world.start("a")
    append(world, *[line(first, n) for n in range(1, 4)])
    world.end(first, Released())
    (second,) = world.claim()
    append(world, *[line(second, n) for n in range(1, 3)])
    assert read(world, "a", limit=2) == [(1, 1), (1, 2)]
    assert read(world, "a", after=(1, 2)) == [(1, 3), (2, 1), (2, 2)]
    assert read(world, "a", attempt=2) == [(2, 1), (2, 2)]
    assert read(world, "a", attempt=1, after=(1, 2)) == [(1, 3)]
    assert read(world, "a", attempt=3) == []
    assert read(world, "a", after=(2, 2)) == []


def test_notes_change_what_they_name(world: World) -> None:
    world.start("a")
    assert annotate(world, Note("a", 1, checkpoint='{"at":1}')) == frozenset()
    assert annotate(world, Note("a", 1, progress="0.5")) == frozenset()
    task = world.get("a")
    assert (task.checkpoint, task.progress) == ('{"at":1}', "0.5")
    annotate(world, Note("a", 1, "null", "1"), Note("a", 1, checkpoint="2"))
    task = world.get("a")
    assert (task.checkpoint, task.progress) == ("2", "1")


def test_notes_of_another_attempt_are_refused(world: World) -> None:
    first = world.start("a")
    world.end(first, Released())
    world.claim()
    assert annotate(world, Note("a", 1, "1"), Note("a", 2, "2"), Note("none", 1, "1")) == {
        first.lease,
        Lease("none", 1),
    }
    assert world.get("a").checkpoint == "2"


def test_a_checkpoint_is_there_for_the_next_attempt(world: World) -> None:
    task = world.start("a")
    annotate(world, Note("a", 1, "7", "0.7"))
    world.end(task, Released())
    (again,) = world.claim()
    assert (again.checkpoint, again.progress) == ("7", "0.7")


def test_logs_of_other_tasks_are_apart(world: World) -> None:
    world.submit(new("a"), new("b"))
    a, b = world.claim()
    append(world, line(a, 1), line(b, 1), line(b, 2))
    assert read(world, "a") == [(1, 1)]
    assert read(world, "b") == [(1, 1), (1, 2)]
