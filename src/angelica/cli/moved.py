"""What a process does when its store has moved: start again there if its settings lead there, else end and say so."""

from __future__ import annotations

import os
import sys

import click

from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions
from angelica.settings import Settings


def follow(moved_to: str, options: GlobalOptions) -> None:
    """Start this process again, as it was started, if the settings as they are now name the new store.

    The address that a store leaves behind has no password, so it is compared, never used. Does not return if it is
    the one; the process keeps its pid.
    """
    if _shown(settings_of(options.url)) != moved_to:
        return
    if not options.quiet:
        click.echo(f"angelica: starting again with {moved_to}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - what was started before


def _shown(settings: Settings) -> str:
    """Return the address as a move writes it down."""
    path = settings.sqlite_path
    return settings.shown_url if path is None else f"sqlite:///{path.absolute()}"
