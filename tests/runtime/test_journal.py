"""The journal: every line of an attempt is stored, in order, or counted."""

from __future__ import annotations

import threading
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelica.clock import SECOND, ManualClock
from angelica.current import Running
from angelica.domain.task import Lease
from angelica.runtime.attempt_log import LINE_COST, AttemptLog
from angelica.runtime.journal import WAKE_AT, Journal
from angelica.storage.protocol import LogLine

OPEN = 1 << 40


def attempt(journal: Journal, task_id: str = "t-1", number: int = 1) -> Running:
    return Running(task_id, number, "shop.mail", "default", "trace", journal)


def unbounded(**limits: int) -> Journal:
    """A journal without the limits that a test does not name."""
    return Journal(
        ManualClock(), **{"limit": OPEN, "lines": OPEN, "rate": OPEN, "burst": OPEN, "buffer": OPEN} | limits
    )


def log(journal: Journal, running: Running, message: str) -> None:
    journal.write(running, "log", "INFO", "shop", message)


def messages(lines: list[LogLine]) -> list[str]:
    return [line.message for line in lines]


def test_a_line_carries_its_attempt_its_moment_and_its_number() -> None:
    clock = ManualClock()
    journal = Journal(clock)
    running = attempt(journal, number=3)
    journal.write(running, "log", "WARNING", "shop.cart", "first")
    clock.advance(SECOND)
    journal.write(running, "stdout", "", "", "second")
    wall = clock.now().wall
    assert journal.drain() == [
        LogLine("t-1", 3, 1, wall - SECOND, "log", "WARNING", "shop.cart", "first"),
        LogLine("t-1", 3, 2, wall, "stdout", "", "", "second"),
    ]


def test_numbers_run_on_over_drains_and_the_close() -> None:
    journal = unbounded()
    running = attempt(journal)
    taken = []
    for round_ in range(3):
        for n in range(5):
            log(journal, running, f"{round_}-{n}")
        taken += journal.drain()
    log(journal, running, "last")
    taken += journal.close(running)
    assert [line.seq for line in taken] == list(range(1, 17))
    assert journal.drain() == []
    assert journal.pending == 0


def test_an_attempt_that_writes_nothing_has_no_log() -> None:
    journal = Journal(ManualClock())
    running = attempt(journal)
    assert running.log is None
    assert journal.close(running) == []
    assert journal._open == {}


def test_nothing_is_stored_after_the_close() -> None:
    journal = unbounded()
    silent, loud = attempt(journal, "silent"), attempt(journal, "loud")
    log(journal, loud, "in time")
    journal.feed(loud, "stdout", "half a li")
    assert messages(journal.close(loud)) == ["in time", "half a li"]
    journal.close(silent)
    log(journal, silent, "too late")
    log(journal, loud, "too\nlate")
    journal.feed(loud, "stdout", "too late\n")
    assert journal.drain() == []
    assert journal.close(loud) == journal.close(silent) == []
    assert (journal.late.lines, journal.late.size) == (4, len("too late") * 3 - 1)


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        ("", [""]),
        ("one", ["one"]),
        ("one\n", ["one"]),
        ("one\n\n", ["one", ""]),
        ("\n", [""]),
        ("one\ntwo", ["one", "two"]),
        ("one\r\ntwo\rthree", ["one", "two", "three"]),
        ("tab\tstays, \u2028 does not", ["tab\tstays, \\u2028 does not"]),
        ("\x1b[31mred\x1b]0;title\x07", ["\\x1b[31mred\\x1b]0;title\\x07"]),
        ("\x9b2J\x00\x7f\u202egnp", ["\\x9b2J\\x00\\x7f\\u202egnp"]),
        ("half \udcff, whole \U0001f33f", ["half \ufffd, whole \U0001f33f"]),
    ],
)
def test_text_is_split_at_line_ends_and_made_harmless(message: str, lines: list[str]) -> None:
    journal = unbounded()
    running = attempt(journal)
    log(journal, running, message)
    assert messages(journal.drain()) == lines


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    journal = unbounded()
    running = attempt(journal)
    journal.write(running, "stdout", "", "", b"caf\xc3\xa9 \xff\xfe")
    assert messages(journal.drain()) == ["café \ufffd\ufffd"]


def test_the_name_of_a_logger_cannot_carry_a_record_of_its_own() -> None:
    journal = unbounded()
    running = attempt(journal)
    journal.write(running, "log", "INFO", "x\n" + "y" * 1000, "message")
    (line,) = journal.drain()
    assert line.logger == "x\\x0a" + "y" * 198


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_a_fed_stream_becomes_whole_lines_wherever_it_is_torn(chunk: int) -> None:
    text = "one\ntwo\r\n\r\n\nthree\rfour\n\nfive"
    journal = unbounded()
    running = attempt(journal)
    for start in range(0, len(text), chunk):
        journal.feed(running, "stdout", text[start : start + chunk])
    assert messages(journal.drain()) == ["one", "two", "", "", "three", "four", ""]
    assert messages(journal.close(running)) == ["five"]


def test_what_was_dropped_before_it_came_is_told_with_the_rest() -> None:
    journal = unbounded()
    running = attempt(journal)
    journal.drop(running, "too much", 3, 30)
    journal.write(running, "stdout", "", "", "kept")
    assert messages(journal.close(running)) == ["kept", "… 3 lines (30 bytes) dropped: too much"]
    assert (journal.dropped.lines, journal.dropped.size) == (3, 30)
    journal.drop(running, "too much", 2, 20)
    assert (journal.late.lines, journal.late.size) == (2, 20)


def test_two_streams_do_not_mix_their_unfinished_lines() -> None:
    journal = unbounded()
    running = attempt(journal)
    journal.feed(running, "stdout", "out ")
    journal.feed(running, "stderr", "err ")
    journal.feed(running, "stdout", "put\n")
    journal.feed(running, "stderr", "or\n")
    assert [(line.stream, line.message) for line in journal.drain()] == [("stdout", "out put"), ("stderr", "err or")]


@pytest.mark.parametrize(("character", "width"), [("x", 1), ("é", 2), ("漢", 3), ("\U0001f33f", 4)])
def test_a_long_line_is_cut_between_characters_and_says_how_long_it_was(character: str, width: int) -> None:
    journal = unbounded(line_limit=1000)
    running = attempt(journal)
    log(journal, running, character * (1000 // width))
    log(journal, running, character * 5000)
    whole, cut = journal.drain()
    assert whole.message == character * (1000 // width)
    assert cut.message == character * (1000 // width) + f" … [cut: the line has {5000 * width:,} bytes]"
    assert isinstance(running.log, AttemptLog)
    assert (running.log.cut.lines, running.log.cut.size) == (1, 5000 * width - 1000)


def test_the_cap_is_exact_and_what_is_stored_is_the_beginning() -> None:
    journal = unbounded(limit=1000)
    running = attempt(journal)
    for _ in range(9):
        log(journal, running, "x" * 100)
    log(journal, running, "y" * 100)  # to the byte
    log(journal, running, "z" * 101)
    log(journal, running, "")  # would fit, but comes after what did not
    *stored, note = journal.close(running)
    assert sum(len(line.message) for line in stored) == 1000
    assert (note.seq, note.stream, note.level) == (11, "note", "WARNING")
    assert note.message == "… 2 lines (101 bytes) dropped: over the limit of 1,000 bytes"
    assert (journal.dropped.lines, journal.dropped.size) == (2, 101)


def test_the_number_of_lines_is_capped_too() -> None:
    journal = unbounded(lines=1000)
    running = attempt(journal)
    log(journal, running, "\n" * 5000)
    *stored, note = journal.close(running)
    assert len(stored) == 1000
    assert note.message == "… 4,000 lines (0 bytes) dropped: over the limit of 1,000 lines"


def test_the_rate_drops_beyond_the_burst_and_lets_through_again() -> None:
    clock = ManualClock()
    journal = Journal(clock, rate=1 << 10, burst=10 * (36 + LINE_COST))
    running = attempt(journal)
    for _ in range(12):
        log(journal, running, "x" * 36)
    assert len(journal.drain()) == 10
    clock.advance(SECOND)
    for _ in range(12):
        log(journal, running, "x" * 36)
    clock.shift_wall(-10 * SECOND)
    log(journal, running, "x" * 36)
    *stored, note = journal.close(running)
    assert len(stored) == 10
    assert note.message == "… 5 lines (180 bytes) dropped: faster than 1 KiB a second"


def test_what_the_store_does_not_take_in_time_is_bounded_for_one_attempt_and_for_all() -> None:
    journal = unbounded(buffer=100_000)
    attempts = [attempt(journal, f"t-{n}") for n in range(4)]
    for running in attempts:
        for _ in range(1000):
            log(journal, running, "x" * 31)
    lines = journal.drain()
    counts = [sum(line.task_id == running.task_id for line in lines) for running in attempts]
    each = 100_000 // 200  # a line of 31 characters takes 200 bytes
    assert counts == [each, each, 0, 0]
    log(journal, attempts[2], "again")
    notes = [journal.close(running)[-1].message for running in attempts]
    assert notes == [
        "… 500 lines (15,500 bytes) dropped: faster than the store takes them",
        "… 500 lines (15,500 bytes) dropped: faster than the store takes them",
        "… 1,000 lines (31,000 bytes) dropped: faster than the store takes them",
        "… 1,000 lines (31,000 bytes) dropped: faster than the store takes them",
    ]
    assert journal._room == 200_000


def test_a_flood_is_counted_to_the_byte_in_bounded_memory() -> None:
    journal = Journal(ManualClock())
    running = attempt(journal)
    block = ("x" * 99 + "\n") * 1000
    for _ in range(10):
        log(journal, running, block)  # the first blocks warm up what is allocated once
    tracemalloc.start()
    for _ in range(10_000):
        journal.feed(running, "stdout", block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 9 << 20
    *stored, note = journal.close(running)
    dropped = 10_010_000 - len(stored)
    assert note.message == f"… {dropped:,} lines ({dropped * 99:,} bytes) dropped: faster than 1 MiB a second"
    assert journal.errors == 0


@pytest.mark.parametrize("character", ["x", "é"])
def test_one_line_of_100_megabytes_is_cut_without_a_copy(character: str) -> None:
    journal = Journal(ManualClock())
    running = attempt(journal)
    text = character * (100_000_000 // len(character.encode()))
    tracemalloc.start()
    log(journal, running, text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    (line,) = journal.close(running)
    assert line.message.endswith(" … [cut: the line has 100,000,000 bytes]")
    assert len(line.message.encode()) < (16 << 10) + 100


def test_many_threads_lose_nothing_and_keep_their_order() -> None:
    journal = unbounded()
    running = attempt(journal)
    together = threading.Barrier(8)
    taken: list[LogLine] = []

    def chatter(name: int) -> None:
        together.wait()
        for n in range(500):
            log(journal, running, f"{name} {n}")

    threads = [threading.Thread(target=chatter, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += journal.drain()
    for thread in threads:
        thread.join()
    taken += journal.close(running)
    assert [line.seq for line in taken] == list(range(1, 4001))
    for name in range(8):
        own = [int(line.message.split()[1]) for line in taken if line.message.startswith(f"{name} ")]
        assert own == list(range(500))


def test_lines_of_one_attempt_never_land_in_another() -> None:
    journal = unbounded()
    first, second = attempt(journal, number=1), attempt(journal, number=2)
    log(journal, first, "of the first")
    log(journal, second, "of the second")
    assert [(line.attempt, line.seq, line.message) for line in journal.drain()] == [
        (1, 1, "of the first"),
        (2, 1, "of the second"),
    ]


def test_a_refused_attempt_is_forgotten_and_counted() -> None:
    journal = unbounded()
    running, other = attempt(journal), attempt(journal, "other")
    log(journal, running, "12345")
    log(journal, other, "stays")
    journal.refused({Lease("t-1", 1), Lease("unknown", 7)})
    log(journal, running, "678")
    assert messages(journal.drain()) == ["stays"]
    assert journal.close(running) == []
    assert (journal.stale.lines, journal.stale.size) == (2, 8)
    assert (journal.dropped.lines, journal.pending) == (0, 0)


def test_lines_that_the_store_could_not_take_come_again_in_their_place() -> None:
    journal = unbounded(buffer=1000)
    running, ended = attempt(journal), attempt(journal, "ended")
    log(journal, running, "one")
    log(journal, running, "two")
    log(journal, ended, "12345")
    drained = journal.drain()
    journal.close(ended)
    log(journal, running, "three")
    journal.give_back(drained)
    assert journal.pending == 3
    log(journal, running, "x" * 900)  # the store is behind, and what waits for it is bounded
    again = journal.close(running)
    assert [(line.seq, line.message) for line in again[:3]] == [(1, "one"), (2, "two"), (3, "three")]
    assert again[3].message == "… 1 line (900 bytes) dropped: faster than the store takes them"
    assert (journal.stale.lines, journal.stale.size) == (1, 5)
    assert (journal.pending, journal._room) == (0, 2000)


def test_the_flusher_is_called_once_for_each_thousand_and_may_fail() -> None:
    journal = unbounded()
    running = attempt(journal)
    calls: list[int] = []

    def wake() -> None:
        calls.append(journal.pending)
        raise RuntimeError("the event loop is closed")

    journal.on_pending = wake
    for _ in range(WAKE_AT + 500):
        log(journal, running, "line")
    assert calls == [WAKE_AT]
    journal.drain()
    for _ in range(WAKE_AT):
        log(journal, running, "line")
    assert calls == [WAKE_AT, WAKE_AT]


def test_at_rest_the_first_line_calls_the_flusher_and_only_that() -> None:
    journal, calls = unbounded(), []
    journal.on_pending = lambda: calls.append(journal.pending)
    running = attempt(journal)
    assert journal.rest()
    log(journal, running, "first")
    log(journal, running, "second")
    assert calls == [1]
    assert not journal.rest()  # lines wait: whoever looks must look again
    log(journal, running, "third")
    assert calls == [1]
    assert messages(journal.drain()) == ["first", "second", "third"]
    assert journal.rest()
    log(journal, running, "fourth")
    assert calls == [1, 1]


def test_writing_never_raises() -> None:
    journal = unbounded()
    running = attempt(journal)
    journal.write(running, "log", "INFO", "shop", None)  # type: ignore[arg-type]
    journal.feed(running, "stdout", 7)  # type: ignore[arg-type]
    assert journal.errors == 2
    log(journal, running, "goes on")
    assert messages(journal.drain()) == ["goes on"]


def test_secrets_are_scrubbed_before_a_line_is_kept_also_where_it_is_cut_and_torn() -> None:
    journal = Journal(ManualClock(), line_limit=1000, scrub=lambda line: line.replace("hunter2", "***"))
    running = attempt(journal)
    log(journal, running, "short hunter2")
    log(journal, running, "x" * 996 + "hunter2" + "x" * 500)
    journal.feed(running, "stdout", "hun")
    journal.feed(running, "stdout", "ter2\n")
    short, long, torn = messages(journal.drain())
    assert short == "short ***"
    assert "hunt" not in long
    assert torn == "***"


def test_a_finalizer_that_writes_while_the_lock_is_held_does_not_hang() -> None:
    journal = unbounded()
    running = attempt(journal)
    with journal._lock:
        log(journal, running, "from inside")
    assert messages(journal.close(running)) == ["from inside"]


pieces = st.lists(
    st.one_of(
        st.text(st.sampled_from("ab\n\r\x1bé漢"), max_size=40),
        st.integers(1, 3000).map(lambda n: "x" * n),
        st.just("drain"),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(pieces, st.integers(0, 3000), st.integers(1, 40), st.integers(0, 4000), st.integers(0, 20_000))
def test_whatever_is_written_is_stored_or_counted(
    written: list[str], limit: int, lines: int, burst: int, buffer: int
) -> None:
    clock = ManualClock()
    journal = Journal(clock, limit=limit, lines=lines, line_limit=256, rate=1000, burst=burst, buffer=buffer)
    running = attempt(journal)
    came, size, taken = 0, 0, []
    for text in written:
        if text == "drain":
            taken += journal.drain()
            clock.advance(SECOND // 4)
            continue
        whole = text.replace("\r\n", "\n").replace("\r", "\n")
        came += len(whole.removesuffix("\n").split("\n"))
        size += len(whole.replace("\n", "").encode())
        log(journal, running, text)
    known = running.log
    taken += journal.close(running)
    stored = [line for line in taken if line.stream != "note"]
    assert [line.seq for line in taken] == list(range(1, len(taken) + 1))
    assert all(earlier.at <= later.at for earlier, later in pairwise(taken))
    assert len(stored) <= lines
    assert sum(len(line.message.encode()) for line in stored) <= limit
    assert journal.errors == 0
    assert journal._room == 2 * buffer
    if isinstance(known, AttemptLog):
        assert len(stored) + journal.dropped.lines == came
        assert known.stored.lines == len(stored)
        if known.cut.lines == 0 and not any("\x1b" in text for text in written):
            assert known.stored.size + journal.dropped.size == size
        assert (len(taken) > len(stored)) == bool(journal.dropped.lines)
