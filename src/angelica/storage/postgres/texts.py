"""Texts as PostgreSQL takes them: columns joined to one, and NUL, which it cannot hold, written out.

What comes in through our gates has no NUL; a log line may.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from angelica.storage.rows import from_json, to_json

SEPARATOR: Final = "\x1f"
"""Stands between the values of a joined column: in no id, and in no JSON text."""


def joined(values: Sequence[Any]) -> str:
    """Return a column of a batch as one text, None as an empty one; raises `ValueError` for what would be cut apart.

    The driver takes half a microsecond for each value of an array, which is a tenth of what a task may cost.
    """
    text = SEPARATOR.join(["" if value is None else str(value) for value in values])
    if text.count(SEPARATOR) >= max(len(values), 1):
        message = "U+001F in a text that should be JSON"
        raise ValueError(message)
    return text


def storable(texts: Sequence[str]) -> list[str]:
    """Return texts that can be stored."""
    return [text.replace("\0", "\\x00") if "\0" in text else text for text in texts]


def storable_json(text: str) -> str:
    """Return a text that can be stored, or JSON text whose parts can be."""
    (text,) = storable([text])
    return to_json(_without_nul(from_json(text))) if "\\u0000" in text and text[:1] == "[" else text


def _without_nul(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nul(part) for part in value]
    return storable([value])[0] if isinstance(value, str) else value
