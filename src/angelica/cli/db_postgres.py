"""`angelica db` where PostgreSQL differs: making the schema step by step, its SQL, and who copies it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final, Literal

import click

from angelica.cli import output
from angelica.cli.failure import OK, UNAVAILABLE, CliError
from angelica.cli.progress import progress
from angelica.cli.state import GlobalOptions
from angelica.cli.store import storage_of
from angelica.settings import Settings
from angelica.storage.sql import pending as missing_of

_PASSWORD: Final = "the password comes from ~/.pgpass or PGPASSWORD"  # noqa: S105 - where one is kept, not one


async def migrate(settings: Settings, options: GlobalOptions) -> int:
    """Apply what is missing, whatever `auto_migrate` says; each step is told before it begins."""
    storage = storage_of(settings)
    await _refuse_pooler(storage)
    with progress("migrating", options) as bar:

        def told(step: str, done: int, steps: int) -> None:
            bar(done, steps)
            output.say(f"{step} ({done + 1} of {steps})", options)

        version = await storage.migrate(told)
    output.say(f"{settings.shown_url} is at schema version {version}", options)
    return OK


async def _refuse_pooler(storage: Any) -> None:
    from angelica.storage.postgres.schema import MIGRATIONS

    address = storage.address
    if address.pooler is None or not missing_of(MIGRATIONS, await storage.applied()):
        return
    direct = address.shown.replace(f"pooler={address.pooler}", "").rstrip("?&")
    raise CliError(
        "the schema cannot be made through a pooler: once, name the host and the port of the server itself",
        hint=f"angelica db migrate --url {shlex.quote(direct)}",
        exit_code=UNAVAILABLE,
    )


async def sql(settings: Settings, options: GlobalOptions, *, pending: bool) -> int:
    """Print the steps as one script for `psql`; with `pending`, only what the database lacks."""
    from angelica.storage.postgres.schema import MIGRATIONS, script

    storage = storage_of(settings)
    steps = missing_of(MIGRATIONS, await storage.applied()) if pending else MIGRATIONS
    if steps:
        click.echo(script(steps, storage.address), nl=False)
    else:
        output.say("nothing is missing", options)
    return OK


def refuse_copy(settings: Settings, what: Literal["backup", "restore"], file: Path) -> CliError:
    """Return the refusal that says how PostgreSQL's own programs do it."""
    address = storage_of(settings).address
    where, name = shlex.quote(address.direct), shlex.quote(str(file))
    if what == "backup":
        text = f"PostgreSQL backs up a store of its own; {_PASSWORD}"
        line = f"pg_dump --format=custom --schema={address.schema} --file={name} {where}"
    else:
        text = f"PostgreSQL restores a store of its own: end every engine and worker first; {_PASSWORD}"
        # In one transaction, so that nobody ever meets half a store.
        line = f"pg_restore --clean --if-exists --single-transaction --dbname={where} {name}"
    return CliError(text, hint=line)
