"""The rules of listening: beyond this machine only with a token, and with TLS or a clear word."""

from __future__ import annotations

import os

from angelica.cli.failure import REFUSED, USAGE, CliError
from angelica.http.tokenpath import token_path
from angelica.settings import Settings


def check_bind(settings: Settings, *, proxied: bool, insecure: bool) -> None:
    """Refuse an address beyond loopback without TLS in front (or a clear word) and without a token."""
    if settings.is_loopback:
        return
    where = f"{settings.host} can be reached from other machines"
    if not proxied and not insecure:
        hint = "put a TLS proxy in front and say --behind-tls-proxy; or --insecure, on a network you trust"
        raise CliError(f"{where}, and the API speaks plain HTTP", hint=hint, exit_code=REFUSED)
    if not token_path(settings.sqlite_path).exists() and not os.environ.get("ANGELICA_TOKEN"):
        hint = "make one by a first start on 127.0.0.1, or set ANGELICA_TOKEN to a random text"
        raise CliError(f"{where}, and there is no token yet", hint=hint, exit_code=REFUSED)


def check_dev_bind(settings: Settings) -> None:
    """`dev` asks for no token, so it listens to this machine only."""
    if not settings.is_loopback:
        hint = "127.0.0.1 for development; `angelica serve` for other machines"
        raise CliError(
            f"`angelica dev` asks for no token and will not listen on {settings.host}", hint=hint, exit_code=USAGE
        )
