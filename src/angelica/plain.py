"""Foreign text made plain: nothing in it can move a cursor, recolour a terminal, or begin a line of its own."""

from __future__ import annotations

import re
from typing import Final

_BLOCK: Final = 65_536

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# C0 but tab, DEL, C1 (\x9b alone begins a terminal sequence), the line separators, and the marks that turn the
# direction of reading around.
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


def plain(text: str) -> str:
    r"""Return `text` as one harmless line.

    Control characters except tab are written out (`\x1b`, `\u2028`), a line end too (`\x0a`), and half surrogates
    become U+FFFD. What is already plain comes back as it is.
    """
    if text.isprintable():
        return text
    return _UNSAFE.sub(_written_out, without_surrogates(text))


def plain_lines(text: str) -> list[str]:
    r"""Split `text` at `\n`, `\r\n` and `\r`, and return its lines, each made plain; one last line end is no line."""
    return [plain(line) for line in one_line_end(text).removesuffix("\n").split("\n")]


def one_line_end(text: str) -> str:
    r"""Return `text` with `\r\n` and `\r` as `\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def without_surrogates(text: str) -> str:
    """Return `text` with each half surrogate, which has no UTF-8, as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def utf8_length(text: str) -> int:
    """Return the length of `text` in bytes of UTF-8; a half surrogate counts 3, as the U+FFFD that stands in for it."""
    if text.isascii():
        return len(text)
    # By the block: a copy of a text of 100 MB would be another 100 MB.
    starts = range(0, len(text), _BLOCK)
    return sum(len(text[start : start + _BLOCK].encode("utf-8", "surrogatepass")) for start in starts)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - the last code of two digits
