"""`angelica version`, for when it comes with options; without any it is answered before this is imported."""

from __future__ import annotations

import click

from angelica import __version__
from angelica.cli.state import common


@click.command("version")
@common
def command() -> None:
    """Print the version."""
    click.echo(f"angelica {__version__}")
