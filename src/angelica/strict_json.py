"""Strict JSON: one reader and one writer for HTTP, CLI and Python, with the same verdict everywhere.

Refused on top of what the grammar refuses: a key twice in one object, numbers that overflow to infinity, integers
outside 64 bits, the NUL character, lone surrogates, and nesting deeper than 64.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NoReturn

from angelica.errors import AngelicaError, InvalidValue

MAX_DEPTH: Final = 64
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1

_POSITION: Final = re.compile(r" \(byte (\d+)\)$")
_INT_DIGITS: Final = 20
_SHOWN_KEYS: Final = 40


class InvalidJson(AngelicaError):
    """The text cannot be read as JSON (HTTP 400). `line` and `column` count from 1."""

    code = "invalid-json"

    def __init__(self, problem: str, *, line: int = 1, column: int = 1) -> None:
        self.problem = problem
        self.line = line
        self.column = column
        super().__init__(f"not JSON at line {line}, column {column}: {problem}")


def loads(data: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises `InvalidJson` if it cannot be read, `InvalidValue` with a JSON pointer if it was read and is refused.
    """
    raw = _utf8(data)
    try:
        value = _decoder()(raw)
    except RecursionError:
        raise _too_deep("") from None
    except (ValueError, UnicodeDecodeError) as error:  # msgspec's errors are ValueErrors
        _explain(raw, error)
    keys = _survey(value)
    if keys < 0 or _suspicious(raw, keys):
        return _exact(raw.decode())
    return value


def dumps(value: Any) -> str:
    """Return `value` (None, bool, int, float, str, list, tuple, dict with text keys) as compact JSON text.

    Raises `InvalidValue` with a JSON pointer for anything that `loads` would refuse or change.
    """
    check(value)
    return _encoder()(value).decode()


def check(value: Any, at: str = "") -> None:
    """Raise `InvalidValue` if `value` is not plain JSON; `at` is the pointer of `value` itself."""
    pending: list[tuple[Any, str, int]] = [(value, at, 1)]
    while pending:
        item, here, depth = pending.pop()
        kind = type(item)
        if kind is str:
            _check_text(item, here)
        elif kind is int:
            if not MIN_INT <= item <= MAX_INT:
                raise _int_range(here)
        elif kind is float:
            if item - item != 0.0:  # NaN and the infinities
                raise _not_finite(here)
        elif kind is dict or kind is list or kind is tuple:
            if depth > MAX_DEPTH:
                raise _too_deep(at)
            _push(pending, item, here, depth + 1)
        elif item is not None and kind is not bool:
            raise InvalidValue(
                here, f"a value of type {kind.__name__} is not JSON", rule="not_json", type=kind.__name__
            )


def pointer(at: str, key: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of `key` below `at`."""
    if isinstance(key, int):
        return f"{at}/{key}"
    name = key[:_SHOWN_KEYS].encode("utf-8", "replace").decode()
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def _push(pending: list[tuple[Any, str, int]], item: Any, here: str, depth: int) -> None:
    if not isinstance(item, dict):
        pending.extend((each, f"{here}/{n}", depth) for n, each in enumerate(item))
        return
    for key, each in item.items():
        if type(key) is not str:
            problem = f"a key must be text, not {type(key).__name__}"
            raise InvalidValue(here, problem, rule="not_json", type=type(key).__name__)
        _check_text(key, here)
        pending.append((each, pointer(here, key), depth))


def _check_text(text: str, here: str) -> None:
    if "\x00" in text:
        raise InvalidValue(here, "text may not contain the NUL character", rule="nul")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidValue(here, "text may not contain half of a surrogate pair", rule="surrogate") from None


def _too_deep(here: str) -> InvalidValue:
    return InvalidValue(here, f"is nested deeper than {MAX_DEPTH} levels", rule="too_deep", max=MAX_DEPTH)


def _int_range(here: str) -> InvalidValue:
    hint = "send larger numbers as text"
    return InvalidValue(here, f"an integer must be from {MIN_INT} to {MAX_INT}", hint=hint, rule="int_range")


def _not_finite(here: str) -> InvalidValue:
    return InvalidValue(here, "a number must be finite", rule="not_finite")


@cache
def _decoder() -> Callable[[bytes], Any]:
    import msgspec  # noqa: PLC0415 - keeps `import angelica` within the standard library

    return msgspec.json.Decoder().decode


@cache
def _encoder() -> Callable[[Any], bytes]:
    import msgspec  # noqa: PLC0415 - keeps `import angelica` within the standard library

    return msgspec.json.Encoder().encode


def _utf8(data: bytes | str) -> bytes:
    try:
        if isinstance(data, str):
            return data.encode()
        if not data.isascii():
            data.decode()
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else 0
        before = data[:start]
        newline = "\n" if isinstance(before, str) else b"\n"
        line = before.count(newline) + 1  # type: ignore[arg-type]
        column = start - before.rfind(newline)  # type: ignore[arg-type]
        message = "the text is not valid UTF-8"
        raise InvalidJson(message, line=line, column=column) from None
    return bytes(data)


def _survey(value: Any) -> int:
    """Return how many object keys `value` holds in all, or -1 if an integer or the depth is out of range."""
    keys = 0
    depth = 0
    level = [value]
    while level:
        below: list[Any] = []
        deeper = False
        for item in level:
            kind = type(item)
            if kind is dict:
                keys += len(item)
                below.extend(item.values())
                deeper = True
            elif kind is list:
                below.extend(item)
                deeper = True
            elif kind is int and not MIN_INT <= item <= MAX_INT:
                return -1
        depth += deeper
        if depth > MAX_DEPTH:
            return -1
        level = below
    return keys


def _suspicious(raw: bytes, keys: int) -> bool:
    """Whether the text might hold a repeated key, NUL or a lone surrogate: cheap, and never wrong when it says no.

    Each key in the text is followed by a colon. If no colon stands after white space, `":` occurs at least once for
    each key; so when it occurs exactly as often as there are keys in the value, no key was lost to a twin.
    """
    if raw.count(b'":') != keys or b" :" in raw or b"\n:" in raw or b"\t:" in raw or b"\r:" in raw:
        return True
    return b"\\u" in raw and (b"\\u0000" in raw or b"\\ud" in raw or b"\\uD" in raw)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, twins included."""


class _Bad:
    """A number that is refused; the walk that knows where it stands raises its error."""

    def __init__(self, error: Callable[[str], InvalidValue]) -> None:
        self.error = error


def _int(text: str) -> int | _Bad:
    if len(text) > _INT_DIGITS or not MIN_INT <= (value := int(text)) <= MAX_INT:
        return _Bad(_int_range)
    return value


def _float(text: str) -> float | _Bad:
    value = float(text)
    return value if value - value == 0.0 else _Bad(_not_finite)


def _constant(text: str) -> NoReturn:
    message = f"{text} is not JSON"
    raise ValueError(message)


_EXACT: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=_int, parse_float=_float, parse_constant=_constant)


def _exact(text: str) -> Any:
    """Read again with the standard library, which tells each pair and number, and check everything."""
    try:
        written = _EXACT.decode(text)
    except RecursionError:
        raise _too_deep("") from None
    return _plain(written, "", 1)


def _plain(item: Any, here: str, depth: int) -> Any:
    if isinstance(item, str):
        _check_text(item, here)
        return item
    if isinstance(item, _Bad):
        raise item.error(here)
    if not isinstance(item, list):
        return item
    if depth > MAX_DEPTH:
        raise _too_deep("")
    if not isinstance(item, _Pairs):
        return [_plain(each, f"{here}/{n}", depth + 1) for n, each in enumerate(item)]
    made: dict[str, Any] = {}
    for key, each in item:
        at = pointer(here, key)
        _check_text(key, here)
        if key in made:
            raise InvalidValue(at, "the key occurs twice in one object", rule="duplicate_key")
        made[key] = _plain(each, at, depth + 1)
    return made


def _explain(raw: bytes, error: Exception) -> NoReturn:
    """Raise for a text that the fast reader refused: `InvalidValue` if it is well formed, else `InvalidJson`."""
    text = raw.decode()
    try:
        _exact(text)
    except json.JSONDecodeError as found:
        raise InvalidJson(found.msg[:1].lower() + found.msg[1:], line=found.lineno, column=found.colno) from None
    except ValueError:
        pass  # a constant such as NaN: the fast reader says where
    message = str(error)
    at = _POSITION.search(message)
    offset = int(at[1]) if at else len(raw)
    line = raw.count(b"\n", 0, offset) + 1
    column = offset - raw.rfind(b"\n", 0, offset)
    problem = _POSITION.sub("", message).removeprefix("JSON is malformed: ")
    raise InvalidJson(problem, line=line, column=column) from None
