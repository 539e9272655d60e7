"""`angelica completion`: the script that a shell loads."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from angelica.cli.state import common

SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@common
def command(shell: str) -> None:
    """Print the completion script for SHELL, e.g. `eval "$(angelica completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    context = click.get_current_context().find_root()
    click.echo(kind(context.command, {}, "angelica", "_ANGELICA_COMPLETE").source())
