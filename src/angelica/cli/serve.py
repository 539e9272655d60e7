"""`angelica serve`: everything on this machine, for production."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from angelica.cli.bind import check_bind
from angelica.cli.launch import Launch, Plan, headline
from angelica.cli.starting import Asked, plan_of, settings_for, starting
from angelica.cli.state import common, given
from angelica.http.tokens import TokenFile
from angelica.runtime.child import Child


@click.command("serve")
@starting
@click.option("--behind-tls-proxy", is_flag=True, help="A proxy in front speaks TLS and sets X-Forwarded-*.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS.")
@common
def command(*, module: str | None, behind_tls_proxy: bool, insecure: bool, **more: Any) -> int:
    """Run API and workers for production.

    APP is MODULE:ATTR (or `app` in angelica.toml). Asks for a token, which is made at the first start, shown once
    and kept as a hash only (or choose it with ANGELICA_TOKEN). Logs are JSON lines on stderr.
    """
    options = given()
    asked = Asked(module, **more)
    settings = settings_for(asked, options)
    check_bind(settings, proxied=behind_tls_proxy, insecure=insecure)
    TokenFile.beside(settings.sqlite_path).confirm(options.token)
    plan = plan_of(asked, options, settings, proxied=behind_tls_proxy, insecure=insecure)
    return Launch(plan, show).run()


def show(plan: Plan, facts: dict[str, Any], children: Sequence[Child]) -> None:
    """Print where everything is; the token only if it has just been made."""
    url = facts["url"]
    if not plan.options.quiet:
        click.echo(headline(plan, children))
        click.echo(f"API      {url}        docs  /docs")
    if facts.get("token"):
        click.echo(f"Token    {facts['token']}")
        click.echo("         shown this once and kept as a hash; clients send it: Authorization: Bearer …")
