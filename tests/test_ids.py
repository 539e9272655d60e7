"""Task ids: the layout of each kind, their order, and the form of a client's own."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.domain.ids import RESERVED_IDS, SNOWFLAKE_EPOCH_MS, Snowflake, check_id, uuid4, uuid7

walls = st.integers(0, (1 << 48) * 1000 - 1)
bits74 = st.integers(0, (1 << 74) - 1)
bits128 = st.integers(0, (1 << 128) - 1)


@given(walls, bits74)
def test_uuid7_has_its_version_variant_and_moment(wall, bits) -> None:
    made = uuid.UUID(uuid7(wall, bits))
    assert str(made) == uuid7(wall, bits)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == wall // 1000


@given(walls, walls, bits74, bits74)
def test_uuid7_of_a_later_microsecond_sorts_later(one, other, bits, more) -> None:
    if one != other:
        assert (one < other) == (uuid7(one, bits) < uuid7(other, more))


@given(walls, bits74, bits74)
def test_uuid7_keeps_its_random_bits_apart(wall, bits, more) -> None:
    kept = (1 << 62) - 1
    assert (uuid7(wall, bits) == uuid7(wall, more)) == (bits & kept == more & kept)


@given(bits128)
def test_uuid4_has_its_version_and_variant(bits) -> None:
    made = uuid.UUID(uuid4(bits))
    assert str(made) == uuid4(bits)
    assert made.version == 4
    assert made.variant == uuid.RFC_4122


@given(
    st.lists(st.integers(SNOWFLAKE_EPOCH_MS, SNOWFLAKE_EPOCH_MS + 50), min_size=1, max_size=200), st.integers(0, 1023)
)
def test_snowflakes_grow_whatever_the_clock_does(milliseconds, node) -> None:
    make = Snowflake(node).make
    made = [int(make(ms * 1000)) for ms in milliseconds]
    assert made == sorted(set(made))
    assert all((number >> 12) & 1023 == node for number in made)
    assert all(number < 1 << 63 for number in made)


def test_snowflakes_borrow_from_the_next_millisecond() -> None:
    flakes = Snowflake(7)
    wall = (SNOWFLAKE_EPOCH_MS + 5) * 1000
    made = [int(flakes.make(wall)) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert made[0] >> 22 == 5
    assert made[-1] >> 22 == 7


@pytest.mark.parametrize("node", [-1, 1024])
def test_a_node_must_fit(node) -> None:
    with pytest.raises(ValueError, match="0 to 1023"):
        Snowflake(node)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", fullmatch=True))
def test_a_good_id_passes(text) -> None:
    if text not in RESERVED_IDS and text.isascii():
        assert check_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "-a", ".a", "_a", "a b", "a/b", "a\n", "ä", "a" * 129, "a\x00", "٣", "a%20b", *sorted(RESERVED_IDS)],
)
def test_a_bad_id_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"must be|reserved"):
        check_id(text)


@given(walls, bits74, bits128)
def test_made_ids_pass_the_check(wall, bits, more) -> None:
    for made in (uuid7(wall, bits), uuid4(more), Snowflake(1).make(wall + SNOWFLAKE_EPOCH_MS * 1000)):
        assert check_id(made) == made
