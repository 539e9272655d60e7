"""`angelica api`: the API process."""

from __future__ import annotations

import click

from angelica.cli.state import common, given


@click.command("api")
@click.argument("module", required=False, metavar="[APP]")
@click.option("--host", metavar="ADDRESS", help="Listen here [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port [8765]; 0 takes a free one.")
@click.option("--behind-tls-proxy", is_flag=True, help="A proxy in front speaks TLS and sets X-Forwarded-*.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option("--dev", is_flag=True, hidden=True)
@click.option("--allow-commands", is_flag=True, hidden=True)
@click.option("--fd", type=int, hidden=True)
@common
def command(
    *,
    module: str | None,
    host: str | None,
    port: int | None,
    behind_tls_proxy: bool,
    insecure: bool,
    dev: bool,
    allow_commands: bool,
    fd: int | None,
) -> int:
    """Run the API process: accept tasks and answer for them; runs none.

    Asks for a token, which is made and shown at the first start.
    """
    from angelica.cli.answer import Listening, answer
    from angelica.cli.process import run_process

    options = given()
    options.app = module or options.app
    where = Listening(
        host=host,
        port=port,
        proxied=behind_tls_proxy,
        insecure=insecure,
        dev=dev,
        allow_commands=dev and allow_commands,  # without a token in front of it only where `dev` says so
        descriptor=fd,
    )
    return run_process(lambda link: answer(options, link, where), options)
