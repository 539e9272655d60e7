"""The wire and the black box: what crosses arrives as it was, and what is not ours is refused."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelica.domain.outcome import Cancelled, Failed, Released, Snoozed, Succeeded
from angelica.domain.retry import Exponential, Fixed, Linear
from angelica.domain.task import Extras, Policy, State, Task, TaskError, Unique
from angelica.domain.usage import Usage
from angelica.runtime.warm import wire
from angelica.runtime.warm.blackbox import BlackBox
from angelica.runtime.warm.wire import Began, Frames, Lines, Ready, WireError
from tests.storage.world import new

USAGE = Usage(0.5, 1 << 20, "vmhwm")
ERROR = TaskError("exception", "E", "m", "s", "f", 2)


@pytest.mark.parametrize("backoff", [Fixed(1.0), Linear(), Exponential(jitter_mode="full")])
def test_a_task_arrives_as_it_was(backoff):
    policy = Policy(None, 1, 2, backoff, ("E",), 3)
    extras = Extras(headers={"a": "b"}, labels={"c": "d"}, extensions={"e": [1, {"f": None}]}, parent_id="p")
    plain = {"trace_id": "ab" * 16, "priority": -3, "version": 4, "deadline": 9, "expires_at": 8}
    spec = new("t", "f", executor="process", policy=policy, unique=Unique("k", "retained"), **plain)
    spec = replace(spec, extras=extras)
    task = Task(
        spec, State.RUNNING, attempt=5, failures=1, crashes=2, run_at=7, worker="w", checkpoint="1", progress="2"
    )
    (work,) = wire.read_work(wire.frame([wire.work_of(task, 1, 2, 3, 4)])[4:])
    assert (work.seq, work.slot, work.grant, work.offset) == (1, 2, 3, 4)
    assert wire.task_of(work) == task


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded('{"a":[1]}', USAGE),
        Failed(ERROR, 3, final=True, usage=USAGE),
        Snoozed(5, USAGE),
        Cancelled("cancelled", "enough", USAGE),
        Released(usage=USAGE),
    ],
)
def test_an_outcome_arrives_as_it_was(outcome):
    ended = wire.ended_of(7, outcome, took=1, rss=2, usage=USAGE)
    (arrived,) = wire.read_up(wire.frame([ended])[4:])
    assert (arrived.seq, arrived.took, arrived.rss) == (7, 1, 2)
    assert wire.outcome_of(arrived) == outcome


@given(sizes=st.lists(st.integers(0, 300)), step=st.integers(1, 64))
def test_frames_are_found_however_the_stream_is_cut(sizes, step):
    bodies = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    stream = b"".join(len(body).to_bytes(4) + body for body in bodies)
    frames = Frames()
    found = [body for at in range(0, len(stream), step) for body in frames.feed(stream[at : at + step])]
    assert found == bodies


def test_a_frame_that_is_too_long_is_refused():
    with pytest.raises(WireError):
        list(Frames().feed((wire.FRAME_LIMIT + 1).to_bytes(4)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"abc",
        msgspec.msgpack.encode([["began", "1", 2, 3.0]]),
        msgspec.msgpack.encode([["begun", 1, 2, 3.0]]),
        msgspec.msgpack.encode([{"tag": "began"}]),
        msgspec.msgpack.encode([["lines", 1, [[1, "s"]]]]),
        wire.frame([Began(1, 2, 3.0)]),
    ],
)
def test_what_is_no_message_is_refused(body):
    with pytest.raises(WireError):
        wire.read_up(body)


@pytest.mark.parametrize("change", [{"kind": "crashed"}, {"result": "{"}, {"result": '"\\u0000"'}, {"message": "\0"}])
def test_an_end_that_no_store_takes_is_refused(change):
    ended = wire.ended_of(7, Succeeded("1"), took=1, rss=2, usage=USAGE)
    with pytest.raises(WireError):
        wire.outcome_of(msgspec.structs.replace(ended, **change))


def test_news_keep_their_order():
    news = [Ready(("a",)), Began(1, 2, 3.0), Lines(1, [(1, "stdout", "", "", "x")])]
    assert wire.read_up(wire.frame(news)[4:]) == news


@pytest.fixture
def box():
    made = BlackBox.make()
    yield made
    made.close()


def test_a_word_to_stop_is_for_one_assignment(box):
    assert box.hear_stop(1) is None
    box.say_stop(1, "cancel", "because\nof é" + "x" * 9_000)
    reason, message = box.hear_stop(1)
    assert (reason, message[:12]) == ("cancel", "because\nof é")
    assert box.hear_stop(2) is None
    box.say_stop(2, "timeout", "")
    assert box.hear_stop(2) == ("timeout", "")


@settings(max_examples=30)
@given(texts=st.lists(st.text(max_size=3_000), max_size=12))
def test_the_last_lines_are_the_end_of_what_was_written(texts):
    box = BlackBox.make()
    box.keep("of the attempt before\n" * 20)
    box.begin()
    for number, text in enumerate(texts):
        box.keep(f"{text}\nline {number}\n")
    lines = box.last_lines(3)
    box.close()
    assert lines[-1:] == ([f"line {len(texts) - 1}"] if texts else [])
    assert not any("before" in line for line in lines)
    assert all(len(line) <= 1_000 and "\n" not in line for line in lines)
