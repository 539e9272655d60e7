"""`angelica dev`: everything on this machine, with reload and without a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from angelica.cli.bind import check_dev_bind
from angelica.cli.launch import Launch, Plan, headline
from angelica.cli.starting import Asked, plan_of, settings_for, starting
from angelica.cli.state import common, given
from angelica.runtime.child import Child


@click.command("dev")
@starting
@click.option("--allow-commands", is_flag=True, help="Let tasks run any command of this machine, for this run.")
@common
def command(*, module: str | None, allow_commands: bool, **more: Any) -> int:
    """Run API and workers for development.

    APP is MODULE:ATTR (or `app` in angelica.toml); without it there are the built-in functions only. Listens on
    loopback, asks for no token, and starts again with fresh code when a source file changes.

    With --allow-commands, whoever reaches this address can run any program of PATH as you (as nobody, if you are root).
    """
    options = given()
    asked = Asked(module, **more)
    settings = settings_for(asked, options)
    check_dev_bind(settings)
    return Launch(plan_of(asked, options, settings, dev=True, allow_commands=allow_commands), show).run()


def show(plan: Plan, facts: dict[str, Any], children: Sequence[Child]) -> None:
    """Print where everything is, and a first request to try."""
    url = facts["url"]
    if plan.options.quiet:
        return
    click.echo(headline(plan, children))
    click.echo(f"API      {url}        docs  /docs")
    local = url.replace("http://127.0.0.1", "localhost")
    if plan.allow_commands:
        click.echo("Commands all of PATH may run: whoever reaches this address can run programs here")
    click.echo(f"Try      curl -sX POST {local}/tasks \\")
    body = '{"name":"angelica.hello","kwargs":{"who":"world"}}'
    click.echo(f"              -H 'content-type: application/json' -d '{body}'")
