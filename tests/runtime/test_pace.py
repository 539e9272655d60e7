"""The pace: pauses end on beats, never later than asked, and only those that are long enough to be moved."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.runtime.pace import BEAT, beat_before, paced


def shortened(pause: float) -> float:
    async def ask() -> float:
        return paced(pause)

    return asyncio.run(ask())


@given(st.floats(min_value=0, max_value=1e7))
def test_a_beat_is_at_most_one_beat_before(moment: float) -> None:
    beat = beat_before(moment)
    assert moment - BEAT < beat <= moment + BEAT * 1e-5
    assert beat / BEAT == round(beat / BEAT)


@given(st.integers(min_value=1, max_value=10**7), st.integers(min_value=1, max_value=20))
def test_who_pauses_on_a_beat_for_whole_beats_loses_none(beats: int, more: int) -> None:
    assert beat_before(beats * BEAT + more * BEAT) == (beats + more) * BEAT


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.25, 0.99])
def test_a_short_pause_stays_as_it_is(pause: float) -> None:
    assert shortened(pause) == pause


@given(st.floats(min_value=2 * BEAT, max_value=3_600))
def test_a_long_pause_is_shortened_by_less_than_a_beat(pause: float) -> None:
    assert pause - BEAT <= shortened(pause) <= pause + BEAT * 1e-5
