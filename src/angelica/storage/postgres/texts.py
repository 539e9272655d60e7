"""NUL, which PostgreSQL's texts cannot hold: written out. What comes in through our gates has none; a log line may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from angelica.storage.rows import from_json, to_json


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
