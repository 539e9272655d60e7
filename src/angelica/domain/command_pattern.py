"""Patterns of command lines: literal words and typed placeholders, each matched against exactly one word."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 4096
"""Characters that a placeholder takes at most, where it says nothing else."""

_INT_DIGITS: Final = 18
_FLOAT_CHARACTERS: Final = 40
_NAME_LENGTH: Final = 128
_PATH_LENGTH: Final = 1024
_INT: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_PATH: Final = re.compile(r"[A-Za-z0-9._@%+=:, /-]+", re.ASCII)
_PLACEHOLDER: Final = re.compile(r"\{(-?)([a-z]+)(?::([^{}]*))?\}")
_RANGE: Final = re.compile(r"(-?[0-9.]+)?\.\.(-?[0-9.]+)?", re.ASCII)

Check = Callable[[str], str | None]
"""Returns None for a value that will do, else what it must be."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a pattern: `before`, the placeholder's value, `after`. Without `check` it is literal: `before`."""

    before: str
    after: str = ""
    check: Check | None = None
    shown: str = ""

    def fits(self, word: str) -> bool:
        """Whether `word` has the literal parts of this one."""
        if self.check is None:
            return word == self.before
        room = len(word) - len(self.before) - len(self.after)
        return room >= 0 and word.startswith(self.before) and word.endswith(self.after)

    def problem(self, word: str) -> str | None:
        """Return what the placeholder's value in `word` (which fits) must be, None if it will do."""
        if self.check is None:
            return None
        return self.check(word[len(self.before) : len(word) - len(self.after)])


def parse_pattern(text: str) -> tuple[Word, ...]:
    """Return the words of a pattern; raises `ValueError` that says what is wrong with it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    if not words:
        raise ValueError("has no words")
    made = tuple(_word(word) for word in words)
    if made[0].check is not None:
        raise ValueError("begins with a placeholder; its first word is what stands for the program")
    return made


def _word(text: str) -> Word:
    found = _PLACEHOLDER.search(text)
    rest = _PLACEHOLDER.sub("", text, count=1)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text!r} has a brace that is no placeholder, or more than one; {_FORMS}")
    if "\0" in text:
        raise ValueError("has a NUL")
    if found is None:
        return Word(text)
    dash, kind, given = found.groups()
    maker = _KINDS.get(kind)
    if maker is None:
        raise ValueError(f"there is no {{{kind}}}; {_FORMS}")
    if dash and kind not in ("int", "float", "text"):
        raise ValueError(f"{found[0]!r}: only {{-int}}, {{-float}} and {{-text}} take a dash in front")
    check = maker(given or "", bool(dash))
    return Word(text[: found.start()], text[found.end() :], _guarded(check, dashed=bool(dash)), found[0])


_FORMS: Final = "there are {int}, {int:1..100}, {float}, {name}, {path}, {choice:a|b} and {text:200}"


def _guarded(check: Check, *, dashed: bool) -> Check:
    """Refuse first what no kind takes: NUL, half surrogates, and a dash in front, which may be read as an option."""

    def guarded(value: str) -> str | None:
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            return "a text without NUL and half surrogates"
        if value.startswith("-") and not dashed and not getattr(check, "negative", False):
            return "a value without a dash in front"
        return check(value)

    return guarded


class _Number:
    """A number from `low` to `high`, either of them open; `negative` numbers are declared by the lower bound."""

    def __init__(self, given: str, *, whole: bool, dashed: bool) -> None:
        self._whole = whole
        low, high = _range(given, whole=whole)
        self._low, self._high = low, high
        self.negative = dashed or (low is not None and low < 0)
        self._words = "a whole number" if whole else "a number"
        if low is not None or high is not None:
            bounds = [f"{name} {bound:g}" for name, bound in (("from", low), ("to", high)) if bound is not None]
            self._words += " " + " ".join(bounds)

    def __call__(self, value: str) -> str | None:
        grammar, longest = (_INT, _INT_DIGITS + 1) if self._whole else (_FLOAT, _FLOAT_CHARACTERS)
        if len(value) > longest or not grammar.fullmatch(value):
            return self._words
        number = int(value) if self._whole else float(value)
        fits = (self._low is None or number >= self._low) and (self._high is None or number <= self._high)
        return None if fits and math.isfinite(number) else self._words


def _range(given: str, *, whole: bool) -> tuple[float | None, float | None]:
    if not given:
        return None, None
    found = _RANGE.fullmatch(given)
    if found is None or not any(found.groups()):
        raise ValueError(f"{given!r} is no range, such as 1..100 or 0..")
    try:
        low, high = ((None if part is None else (int(part) if whole else float(part))) for part in found.groups())
    except ValueError:
        raise ValueError(f"{given!r} is no range, such as 1..100 or 0..") from None
    if low is not None and high is not None and low > high:
        raise ValueError(f"{given!r} is a range that nothing fits")
    return low, high


def _int(given: str, dashed: bool) -> Check:  # noqa: FBT001 - one shape for all kinds
    return _Number(given, whole=True, dashed=dashed)


def _float(given: str, dashed: bool) -> Check:  # noqa: FBT001
    return _Number(given, whole=False, dashed=dashed)


def _name(given: str, dashed: bool) -> Check:  # noqa: ARG001, FBT001
    longest = _length(given, _NAME_LENGTH)

    def check(value: str) -> str | None:
        fits = len(value) <= longest and _NAME.fullmatch(value)
        return None if fits else f"a name of letters, digits, '.', '_' and '-', at most {longest} long"

    return check


def _path(given: str, dashed: bool) -> Check:  # noqa: ARG001, FBT001
    longest = _length(given, _PATH_LENGTH)

    def check(value: str) -> str | None:
        parts = value.split("/")
        # "" is a leading, doubled or trailing slash.
        if len(value) > longest or not _PATH.fullmatch(value) or any(part in ("", ".", "..") for part in parts):
            return f"a relative path without '..', of letters, digits and '._@%+=:, -', at most {longest} long"
        return None

    return check


def _text(given: str, dashed: bool) -> Check:  # noqa: ARG001, FBT001
    longest = _length(given, LONGEST)

    def check(value: str) -> str | None:
        return None if len(value) <= longest else f"a text of at most {longest} characters"

    return check


def _choice(given: str, dashed: bool) -> Check:  # noqa: ARG001, FBT001
    words = tuple(given.split("|"))
    if not all(words):
        raise ValueError("{choice} names its words, such as {choice:small|large}")

    def check(value: str) -> str | None:
        return None if value in words else f"one of {', '.join(words)}"

    check.negative = True  # type: ignore[attr-defined]  # each word is declared, dash or not
    return check


def _length(given: str, most: int) -> int:
    if not given:
        return most
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= LONGEST:
        raise ValueError(f"{given!r} is no length from 1 to {LONGEST}")
    return int(given)


_KINDS: Final[dict[str, Callable[[str, bool], Check]]] = {
    "int": _int,
    "float": _float,
    "name": _name,
    "path": _path,
    "text": _text,
    "choice": _choice,
}
