"""The address of a PostgreSQL store: what a URL says, taken apart and judged before anything connects."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from angelica.errors import InvalidValue

SCHEMES: Final = frozenset({"postgresql", "postgres"})
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_POOLERS: Final = ("transaction",)
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"
_ENCODED: Final = f"{_EXAMPLE}; in a password, / ? # @ and % are percent-encoded (%2F %3F %23 %40 %25)"
_OPTION: Final = re.compile(r"[a-z_]+")
_PLACE: Final = re.compile(r"(\[[0-9a-f:.%]+\]|[^:\[\]]*)(:[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is. `dsn` is what the driver gets, `shown` the URL without what is secret in it.

    `direct` is `shown` without our own options: what PostgreSQL's programs take.

    `schema` (`?schema=`, default `angelica`) keeps the tables. With `pooler="transaction"` (`?pooler=transaction`)
    every transaction may meet another server connection: nothing is kept on one, and nobody can listen.
    """

    dsn: str = field(repr=False)
    shown: str
    schema: str = "angelica"
    pooler: str | None = None
    direct: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL; raises `InvalidValue`."""
        parts = _split(url)
        ours: dict[str, str] = {}
        rest: list[tuple[str, str]] = []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name in {"schema", "pooler"}:
                ours[name] = value
            else:
                rest.append((name, value))
        schema, pooler = ours.get("schema", "angelica"), ours.get("pooler")
        if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
            raise InvalidValue("/url", f"{schema!r} is no name for a schema", hint="schema=angelica: a-z, 0-9 and _")
        if pooler is not None and pooler not in _POOLERS:
            raise InvalidValue(
                "/url", f"the pooler {pooler!r} is not known", hint="pooler=transaction, or leave it out"
            )
        login, _, place = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(rest), ""))
        harmless = [(name, value) for name, value in rest if not _is_secret(name)]
        secrets = {password, unquote(password), *(value for name, value in rest if _is_secret(name))} - {""}
        return cls(
            dsn,
            _shown(user, place, parts.path, [*harmless, *ours.items()]),
            schema,
            pooler,
            direct=_shown(user, place, parts.path, harmless),
            secrets=frozenset(secrets),
        )

    def hide(self, text: str) -> str:
        """Return a text without the password, should a message of the driver's cite it."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text

    @property
    def channel(self) -> str:
        """The name that processes of this store notify each other by."""
        return self.schema

    def adapt(self, text: str) -> str:
        """Return SQL that was written for the schema `angelica` for this one."""
        if self.schema == "angelica":
            return text
        return text.replace("angelica.", f"{self.schema}.").replace("'angelica", f"'{self.schema}")


def _split(url: str) -> SplitResult:
    """Take a URL apart; what is refused is not cited, because a password may be in any part of what cannot be read."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidValue("/url", "the address cannot be read", hint=_EXAMPLE) from None
    if parts.scheme not in SCHEMES:
        raise InvalidValue("/url", "this is no address of PostgreSQL", hint=_EXAMPLE)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if "@" in parts.path or parts.fragment or not all(map(_OPTION.fullmatch, names)):
        raise InvalidValue("/url", "the address cannot be read", hint=_ENCODED)
    if not all(map(_PLACE.fullmatch, parts.netloc.rpartition("@")[2].split(","))):
        raise InvalidValue("/url", "the host or the port cannot be read", hint=_ENCODED)
    return parts


def _is_secret(name: str) -> bool:
    return "password" in name or "key" in name


def _shown(user: str, place: str, path: str, pairs: list[tuple[str, str]]) -> str:
    query = urlencode(pairs, safe="/:,")
    return f"postgresql://{user}{'@' if user else ''}{place}{path}{'?' if query else ''}{query}"
