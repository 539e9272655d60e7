"""The SQLite store that the `db` commands and `doctor` work on, opened without an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from angelica.cli.failure import UNAVAILABLE, CliError
from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions
from angelica.settings import Settings
from angelica.storage.sqlite.adapter import SqliteStorage


def path_of(settings: Settings) -> Path:
    """Return the file of the store; refuses other stores."""
    path = settings.sqlite_path
    if path is None:
        raise CliError(f"{settings.url} is no file", hint="--url angelica.db, for example")
    return path


def local_settings(options: GlobalOptions) -> Settings:
    """Return the settings; refuses `--api`, which these commands cannot serve."""
    if options.api:
        raise CliError("this works on the store itself", hint="run it on the store's host, without --api")
    return settings_of(options.url)


@asynccontextmanager
async def opened_store(
    options: GlobalOptions, *, create: bool = False, migrate: bool | None = None
) -> AsyncIterator[SqliteStorage]:
    """Open the store; `create` lets it be new, `migrate` overrides the setting `auto_migrate`."""
    settings = local_settings(options)
    path = path_of(settings)
    if not create and not path.exists():
        hint = "start `angelica dev` here, or name the store: --url"
        raise CliError(f"there is no store at {path}", hint=hint, exit_code=UNAVAILABLE)
    wanted = settings.auto_migrate if migrate is None else migrate
    storage = SqliteStorage(path, durability=settings.durability, auto_migrate=wanted is not False)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()
