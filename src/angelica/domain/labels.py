"""Labels by which tasks are routed: short and plain names and values, so that they can be parts of one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MOST: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VALUE: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")


def read_labels(value: Any) -> dict[str, str]:
    """Return labels in the order of their names; raises `ValueError` that says what would be right."""
    if not isinstance(value, Mapping):
        raise ValueError('must be an object like {"gpu": "true"}')  # noqa: TRY004 - one kind of error for all readers
    if len(value) > MOST:
        raise ValueError(f"must have at most {MOST} entries")
    for name, each in value.items():
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ValueError(f"the name {name!r} must be 1 to 63 of A-Z a-z 0-9 . _ - and begin with a letter or digit")
        if not isinstance(each, str) or _VALUE.fullmatch(each) is None:
            raise ValueError(f"the value of {name} must be text of 1 to 63 of A-Z a-z 0-9 . _ -, not {each!r}")
    return dict(sorted(value.items()))
