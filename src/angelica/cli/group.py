"""Groups of commands, such as `angelica tasks`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import click

from angelica.cli.failure import CliError
from angelica.cli.state import rarely_shown


class NounGroup(click.Group):
    """A noun with its verbs."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        return None if found is None else rarely_shown(found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            near = get_close_matches(args[0], self.commands, n=1)
            hint = (
                f"did you mean `{ctx.command_path} {near[0]}`?" if near else f"`{ctx.command_path} --help` lists them"
            )
            raise CliError(f"{ctx.command_path} has no {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)


def group(name: str) -> Callable[[Callable[..., Any]], click.Group]:
    """Make a function the group `name`; its docstring is the help."""

    def decorate(function: Callable[..., Any]) -> click.Group:
        return click.group(name, cls=NounGroup)(function)

    return decorate
