"""The options by which limits are set on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from angelica.cli.failure import CliError

NONE: Final = "none"
OFF: Final = "off"


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --max-running, --rate and --reason."""
    for option in (
        click.option("--reason", metavar="TEXT", help="Why; shown with the limit."),
        click.option(
            "--rate", metavar="N/UNIT", help="How many may begin in a period: 100/m, 5/s; none takes it back."
        ),
        click.option("--max-running", metavar="N", help="How many may run at once; none takes it back."),
    ):
        command = option(command)
    return command


def changes_of(**given: str | None) -> dict[str, Any]:
    """Return the fields that were given, as the API takes them."""
    made: dict[str, Any] = {}
    for name, text in given.items():
        if text is None:
            continue
        if text == NONE and name != "reason":
            made[name] = None
        elif text == OFF and name == "fair":
            made[name] = False
        elif name in ("max_running", "max_depth"):
            if not text.isdigit():
                raise CliError(
                    f"--{name.replace('_', '-')} {text!r} is no whole number", hint="or none, to take it back"
                )
            made[name] = int(text)
        else:
            made[name] = text
    if not made or set(made) == {"reason"}:
        raise CliError("nothing is to be changed", hint="give --max-running, --rate, …")
    return made
