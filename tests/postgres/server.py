"""A PostgreSQL that answers: its URLs, its version, and what an administrator does to it. Synchronous on purpose."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


class Server:
    """Wherever it runs. `url` names it and its administrator, with any database."""

    crashable = False

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str = "postgres") -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for what stands in front of it."""
        parts = urlsplit(self._url)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    @cached_property
    def version(self) -> int:
        """The major version: 15, 18."""
        return int(self.run("SHOW server_version_num")[0][0]) // 10_000

    def run(
        self, statement: str | sql.Composed, database: str | None = None, /, *arguments: Any
    ) -> list[tuple[Any, ...]]:
        """Run one statement in a connection and transaction of its own, in `database`; return its rows, if it has some.

        Without a database: in the one of the given URL, which an administrator may connect to.
        """
        url = self._url if database is None else self.url(database)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments or None)
            return cursor.fetchall() if cursor.description is not None else []

    def create_database(self, name: str) -> str:
        """Make an empty database; return its URL."""
        self.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, and whoever is still connected to it; no matter if there is none."""
        self.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
