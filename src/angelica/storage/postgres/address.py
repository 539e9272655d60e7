"""The address of a PostgreSQL store: what a URL says, taken apart and judged before anything connects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from angelica.errors import InvalidValue

SCHEMES: Final = frozenset({"postgresql", "postgres"})
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_POOLERS: Final = ("transaction",)
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is. `dsn` is what the driver gets, `shown` the same without the password.

    `schema` (`?schema=`, default `angelica`) keeps the tables. With `pooler="transaction"` (`?pooler=transaction`)
    every transaction may meet another server connection: nothing is kept on one, and nobody can listen.
    """

    dsn: str
    shown: str
    schema: str = "angelica"
    pooler: str | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL; raises `InvalidValue`."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise InvalidValue("/url", "this is no address of PostgreSQL", hint=_EXAMPLE)
        try:
            port = parts.port
        except ValueError as error:
            raise InvalidValue("/url", str(error), hint=_EXAMPLE) from None
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
        host = parts.hostname or ""
        place = f"{host if ':' not in host else f'[{host}]'}{'' if port is None else f':{port}'}"
        user = f"{parts.username}@" if parts.username else ""
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(rest), ""))
        shown = urlunsplit(
            ("postgresql", f"{user}{place}", parts.path, urlencode([*_harmless(rest), *ours.items()]), "")
        )
        return cls(dsn, shown, schema, pooler)

    @property
    def channel(self) -> str:
        """The name that processes of this store notify each other by."""
        return self.schema

    def adapt(self, text: str) -> str:
        """Return SQL that was written for the schema `angelica` for this one."""
        if self.schema == "angelica":
            return text
        return text.replace("angelica.", f"{self.schema}.").replace("'angelica", f"'{self.schema}")


def _harmless(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, "…" if "password" in name or "key" in name else value) for name, value in pairs]
