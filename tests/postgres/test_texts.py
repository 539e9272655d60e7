"""Columns of a batch as one text each."""

from __future__ import annotations

import pytest

from angelica.storage.postgres.texts import SEPARATOR, joined


def test_values_are_joined_and_none_is_empty() -> None:
    assert joined(["a", None, 3]) == f"a{SEPARATOR}{SEPARATOR}3"
    assert (joined([]), joined([None]), joined(["a"])) == ("", "", "a")


@pytest.mark.parametrize("values", [[SEPARATOR], ["a", f"b{SEPARATOR}c"], [None, SEPARATOR]])
def test_what_would_be_cut_apart_is_refused(values: list[str | None]) -> None:
    with pytest.raises(ValueError, match=r"U\+001F"):
        joined(values)
