"""Small files of the kernel: read whole, written in one call."""

from __future__ import annotations

import os
from pathlib import Path


def read(path: str | Path) -> str:
    """Return the text of a file, "" if it cannot be read."""
    try:
        return Path(path).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def write(path: str | Path, text: str) -> None:
    """Write to a file that is there; raises `OSError`.

    Without O_CREAT and without a buffer: a limit that does not exist must fail here, not pass or fail at a close.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def number(path: str | Path) -> int | None:
    """Return the whole number that a file holds, None if there is none."""
    text = read(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def field(path: str | Path, name: str) -> int | None:
    """Return the number beside `name` in a file of lines `name number`, None if there is none."""
    for line in read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None
