"""The root command: which commands there are, loaded when they are called, and how a run ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click

from angelica import __version__
from angelica.cli import failure
from angelica.cli.state import GlobalOptions, common, rarely_shown

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "dev": ("angelica.cli.dev", "API and workers for development: reload, loopback only, no token."),
    "serve": ("angelica.cli.serve", "API and workers for production: asks for a token."),
    "api": ("angelica.cli.api", "The API process alone."),
    "worker": ("angelica.cli.worker", "One worker process alone."),
    "init": ("angelica.cli.init", "Write a first app.py and angelica.toml; never overwrites."),
    "enqueue": ("angelica.cli.enqueue", "Submit a task."),
    "exec": ("angelica.cli.execute", "Run an allowed command as a task; exits with its exit code."),
    "tasks": ("angelica.cli.tasks", "List, show, follow, cancel and retry tasks."),
    "functions": ("angelica.cli.functions", "List and show registered functions."),
    "queues": ("angelica.cli.queues", "List, pause and limit queues."),
    "limits": ("angelica.cli.limits", "List and set limits by key."),
    "workers": ("angelica.cli.workers", "List workers."),
    "breakers": ("angelica.cli.breakers", "List circuit breakers; keep one open or closed."),
    "schedules": ("angelica.cli.schedules", "List, add, change, run, import and apply schedules."),
    "cron": ("angelica.cli.cron", "Explain a schedule text: words, next runs, warnings."),
    "db": ("angelica.cli.db", "The store: status, migrate, check, backup, restore, prune, sql, clock."),
    "doctor": ("angelica.cli.doctor", "Check this installation; exit 1 on red."),
    "config": ("angelica.cli.config", "Show the settings and where they come from."),
    "version": ("angelica.cli.version", "Print the version."),
    "completion": ("angelica.cli.completion", "Print the shell completion script."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; its help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return rarely_shown(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `angelica {near[0]}`?" if near else "`angelica --help` lists the commands"
            raise failure.CliError(f"there is no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="angelica %(version)s")
@common
def root() -> None:
    """Angelica, a task engine for Python.

    Commands work on the local store, or on a server with --api.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is printed in one or two lines."""
    options = GlobalOptions()
    if "json" in arguments or "-ojson" in arguments:  # so that even a usage error comes as asked
        options.output = "json"
    settings: dict[str, Any] = {"prog_name": "angelica", "standalone_mode": False, "obj": GlobalOptions()}
    try:
        said = root.main(list(arguments), **settings)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as usage:
        sys.stdout.write(usage.format_message() + "\n")
        return failure.USAGE
    except click.ClickException as usage:
        context = getattr(usage, "ctx", None)
        path = context.command_path if context is not None else "angelica"
        failure.print_failure(usage.format_message(), f"see `{path} --help`", options)
        return failure.USAGE
    except (click.Abort, KeyboardInterrupt):
        return failure.INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failure.OK
    except Exception as error:  # noqa: BLE001 - the last frame: every failure becomes a line and a code
        return failure.report(error, options)
    return said if isinstance(said, int) else failure.OK
