"""The options that every command takes, before or after its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeVar

import click

Output = Literal["table", "json", "jsonl", "ids", "wide"]
OUTPUTS: Final = ("table", "json", "jsonl", "ids", "wide")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class GlobalOptions:
    """What was given on the command line; None where nothing was."""

    app: str | None = None
    url: str | None = None
    api: str | None = None
    token: str | None = None
    output: Output = "table"
    quiet: bool = False
    no_color: bool = False
    yes: bool = False


def given(context: click.Context | None = None) -> GlobalOptions:
    """Return the options of the running command."""
    options: GlobalOptions = (context or click.get_current_context()).ensure_object(GlobalOptions)
    return options


def _store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    # An option that was not given must not undo what was given before the command's name.
    if value is not None and parameter.name is not None:
        setattr(given(context), parameter.name, value)


_OPTIONS: Final[tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...]] = (
    (("--app",), {"metavar": "MODULE:ATTR", "help": "Where the engine stands in your code."}),
    (
        ("--url",),
        {"metavar": "STORE", "help": "The store (ANGELICA_URL): a file's path, sqlite:///… or postgresql://…"},
    ),
    (("--api",), {"metavar": "URL", "envvar": "ANGELICA_API", "help": "Talk to a server instead of the store."}),
    (("--token",), {"metavar": "TOKEN", "envvar": "ANGELICA_TOKEN", "help": "The server's token."}),
    (("-o", "--output"), {"type": click.Choice(OUTPUTS), "help": "How to print."}),
    (("-q", "--quiet"), {"is_flag": True, "default": None, "help": "Print only what was asked for."}),
    (("--no-color",), {"is_flag": True, "default": None, "help": "No colours (also NO_COLOR)."}),
    (("-y", "--yes"), {"is_flag": True, "default": None, "help": "Ask nothing."}),
)
_NAMES: Final = frozenset(one.name for one in fields(GlobalOptions))


def common(command: F) -> F:
    """Add the global options to a command."""
    for flags, settings in reversed(_OPTIONS):
        option = click.option(*flags, **settings, expose_value=False, callback=_store)
        command = option(command)
    return command


def rarely_shown(command: click.Command) -> click.Command:
    """Hide the global options in a command's own help; the help of `angelica` shows them once."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in _NAMES and not parameter.expose_value:
            parameter.hidden = True
    return command
