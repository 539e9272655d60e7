"""The redactor: takes known secrets, and whatever stands under a telling name, out of texts and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

MASK: Final = "[redacted]"

SECRET_NAMES: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey", "private_key", "access_key",
    "authorization", "cookie", "cookies", "credential", "credentials",
)  # fmt: skip

_SHORTEST: Final = 6  # a shorter secret would blacken ordinary words
_DEEPEST: Final = 16
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL_PASSWORD: Final = re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]{1,256}@")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s{1,4}[a-z0-9._~+/-]{8,}=*")
_SUFFIX: Final = "(?:_?[0-9]{1,3}|[_-](?:key|value|hash|confirmation))?"  # password2, secret_key; not token_count
_VALUE: Final = (
    r"""(?!\[redacted\])(?:(?:bearer|basic)\s{1,4}[^\s,;"']+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
    r"""|["']?[^\s,;&"'}\])]+)"""
)


class Redactor:
    """Masks secrets. Immutable but for `add`; any thread.

    `secrets` are values that must never be shown, wherever they stand (shorter than 6 characters: ignored). `names`
    are names of fields whose values are masked: `db_password=…`, `"apiKey": "…"`, `Authorization: Bearer …`.
    Passwords inside URLs are masked as well.
    """

    def __init__(self, secrets: Iterable[str] = (), *, names: Iterable[str] = SECRET_NAMES) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self._names = tuple(name.lower().replace("-", "_") for name in names)
        self._hints = tuple(name.split("_", 1)[0] for name in self._names)
        told = "|".join(sorted(self._names, key=len, reverse=True))
        self._telling = re.compile(rf"(?:^|_)(?:{told}){_SUFFIX}$")
        # No star before the name: a long word would be tried from each of its letters.
        told = told.replace("_", "[_-]?")
        self._named = re.compile(rf"(?i)((?:{told}){_SUFFIX}[\"']?\s{{0,4}}[:=]\s{{0,4}}){_VALUE}")
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Know more secrets from now on."""
        self._secrets |= {secret for secret in secrets if len(secret) >= _SHORTEST}
        if self._secrets:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._known = re.compile("|".join(re.escape(secret) for secret in longest_first))

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        lowered = text.lower()
        if any(hint in lowered for hint in self._hints):
            text = self._named.sub(rf"\g<1>{MASK}", text)
        if "bearer" in lowered or "basic" in lowered:
            text = _BEARER.sub(rf"\1 {MASK}", text)
        if "://" in text:
            text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
        return text

    def value(self, value: Any, name: str = "", *, depth: int = 0) -> Any:
        """Return a copy of `value` (of any type; containers are walked) as it may be shown under `name`."""
        if value is None or isinstance(value, bool):
            return value
        if name and self.tells(name):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if depth >= _DEEPEST:
            return "…"
        if isinstance(value, Mapping):
            return {key: self.value(item, str(key), depth=depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth=depth + 1) for item in value]
        return value

    def tells(self, name: str) -> bool:
        """Say whether a field of that name holds a secret: `db_password` and `apiKey` do, `token_count` does not."""
        words = re.sub(r"[^a-z0-9]+", "_", _CAMEL.sub("_", name).lower())
        return self._telling.search(words.strip("_")) is not None
