"""The store that the `db` commands and `doctor` work on, opened without an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from angelica.cli.failure import UNAVAILABLE, CliError
from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions
from angelica.settings import Settings
from angelica.stores import make_storage


def path_of(settings: Settings) -> Path:
    """Return the file of the store; refuses other stores."""
    path = settings.sqlite_path
    if path is None:
        raise CliError(f"{settings.shown_url} is no file", hint="--url angelica.db, for example")
    return path


def local_settings(options: GlobalOptions) -> Settings:
    """Return the settings; refuses `--api`, which these commands cannot serve."""
    if options.api:
        raise CliError("this works on the store itself", hint="run it on the store's host, without --api")
    return settings_of(options.url)


def storage_of(settings: Settings, *, migrate: bool | None = None) -> Any:
    """Return the storage, not opened yet; refuses one that ends with its process."""
    if settings.in_memory:
        raise CliError(f"{settings.url} ends with its process", hint="use a file or a database, or --api for a server")
    return make_storage(settings, chance=lambda: 0.5, migrate=migrate)


async def exists(settings: Settings) -> bool:
    """Whether the store has been made: a file, or the tables of a database."""
    path = settings.sqlite_path
    return path.exists() if path is not None else bool(await storage_of(settings).applied())


async def require(settings: Settings, hint: str) -> None:
    """Refuse a store that is not there, rather than make one where a name was mistyped."""
    if await exists(settings):
        return
    path = settings.sqlite_path
    where = f"at {path}" if path is not None else f"in {settings.shown_url}"
    raise CliError(f"there is no store {where}", hint=hint, exit_code=UNAVAILABLE)


@asynccontextmanager
async def opened_store(
    options: GlobalOptions, *, create: bool = False, migrate: bool | None = None
) -> AsyncIterator[Any]:
    """Open the store; `create` lets it be new, `migrate` overrides the setting `auto_migrate`."""
    settings = local_settings(options)
    storage = storage_of(settings, migrate=migrate)
    if not create:
        await require(settings, "start `angelica dev` here, or name the store: --url")
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()
