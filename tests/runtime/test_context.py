"""The context: what a handler sees of its attempt, and the notes it leaves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import angelica
from angelica.clock import SECOND
from angelica.storage.protocol import Note
from tests.runtime.house_of_attempts import CLOCK, assignment, no_handler


def context(notes=None, **given):
    made = assignment(no_handler, notes=notes, **given)
    return made.contexts(made), made


def test_it_shows_the_attempt():
    view, made = context(attempt=3, failures=2, labels={"a": "b"}, headers={"auth_token": "secret", "tenant": "acme"})
    assert (view.id, view.task_id, view.attempt, view.failures) == ("t", "t", 3, 2)
    assert (view.function, view.queue, view.trace_id) == ("f", "default", made.trace_id)
    assert (dict(view.labels), view.headers["tenant"], view.auth_token) == ({"a": "b"}, "acme", "secret")
    assert dict(view.extensions) == {}
    assert view.log.name == "angelica.task.f"
    assert context()[0].auth_token is None


def test_the_deadline_is_the_earlier_of_the_time_out_and_the_tasks_own():
    view, made = context()
    assert (view.deadline, view.remaining()) == (None, None)
    made.ends_by = CLOCK.wall() + 5 * SECOND
    assert view.remaining() == 5.0
    view, made = context(deadline=CLOCK.wall() + 2 * SECOND)
    made.ends_by = CLOCK.wall() + 5 * SECOND
    assert view.remaining() == 2.0
    assert view.deadline == datetime.fromtimestamp(CLOCK.wall() / SECOND + 2, UTC)
    made.ends_by = CLOCK.wall() - SECOND
    assert view.remaining() == 0.0


def test_it_says_when_the_attempt_was_told_to_stop():
    view, made = context()
    assert view.cancelled() is False
    made.stop("timeout")
    assert view.cancelled() is True


def test_progress_and_checkpoints_become_notes():
    notes = []
    view, _ = context(notes, attempt=2)
    view.progress(0.5, "half")
    view.checkpoint([1, {"a": None}])
    assert notes == [
        Note("t", 2, None, '{"fraction":0.5,"text":"half"}'),
        Note("t", 2, '[1,{"a":null}]', None),
    ]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_fraction_is_from_0_to_1(fraction):
    notes = []
    with pytest.raises(angelica.InvalidValue, match="progress"):
        context(notes)[0].progress(fraction)
    assert notes == []


@pytest.mark.parametrize("value", ["x" * 99, "ü" * 60], ids=["characters", "bytes"])
def test_a_note_is_bounded_in_bytes(value):
    with pytest.raises(angelica.InvalidValue, match="checkpoint"):
        context()[0].checkpoint(value)


def test_the_last_checkpoint_is_that_of_an_earlier_attempt():
    assert context()[0].last_checkpoint is None
    assert context(checkpoint='{"row":7}')[0].last_checkpoint == {"row": 7}


def test_snooze_leaves_the_handler():
    with pytest.raises(angelica.Snooze) as caught:
        context()[0].snooze(5)
    assert caught.value.after == 5
