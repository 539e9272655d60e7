"""Printing: tables for eyes, JSON and ids for programs; plain and stable when nobody looks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from angelica.cli.state import GlobalOptions
from angelica.plain import plain

Row = Mapping[str, Any]
_COLOURS: Final = {
    "SUCCEEDED": "green",
    "succeeded": "green",
    "ok": "green",
    "FAILED": "red",
    "failed": "red",
    "red": "red",
    "RUNNING": "cyan",
    "running": "cyan",
    "retrying": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
    "lost": "red",
    "blocked": "yellow",
    "warn": "yellow",
    "cancelled": "bright_black",
}
_MILLI: Final = 0.001


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its title, where its value is found, and whether only `-o wide` shows it."""

    title: str
    value: str | Callable[[Row], Any]
    wide: bool = False

    def text(self, row: Row) -> str:
        value = row.get(self.value) if isinstance(self.value, str) else self.value(row)
        return cell(value)


def cell(value: Any) -> str:
    """Return a value as one short harmless line; what a task wrote must not steer the terminal."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{3 if abs(value) >= _MILLI else 6}f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return plain(",".join(value))
    return plain(json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value or value == 0 else "-")


def is_drawn(options: GlobalOptions) -> bool:
    """Whether a person looks: stdout is a terminal and colours are not refused."""
    return sys.stdout.isatty() and not options.no_color and not os.environ.get("NO_COLOR")


def rows(items: Iterable[Row], columns: Sequence[Column], options: GlobalOptions, *, key: str) -> None:
    """Print a list in the form that was asked for; `key` is what `-o ids` prints."""
    found = list(items)
    match options.output:
        case "json":
            click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        case "jsonl":
            for row in found:
                click.echo(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        case "ids":
            for row in found:
                click.echo(cell(row.get(key)))
        case _:
            shown = [column for column in columns if options.output == "wide" or not column.wide]
            titles = [column.title for column in shown]
            cells = [[column.text(row) for column in shown] for row in found]
            (_draw if is_drawn(options) else _align)(titles, cells)


def one(item: Row, options: GlobalOptions, *, key: str) -> None:
    """Print one thing: its members line by line, or as JSON, or its id."""
    match options.output:
        case "json":
            click.echo(json.dumps(item, indent=2, ensure_ascii=False))
        case "jsonl":
            click.echo(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
        case "ids":
            click.echo(cell(item.get(key)))
        case _:
            members = {name: value for name, value in item.items() if options.output == "wide" or _tells(value)}
            width = max((len(name) for name in members), default=0)
            for name, value in members.items():
                click.echo(f"{name:<{width}}  {_coloured(cell(value), options)}")


def say(text: str, options: GlobalOptions) -> None:
    """Print a remark for people to stderr, unless they asked for quiet."""
    if not options.quiet:
        click.echo(text, err=True)


def _tells(value: Any) -> bool:
    return value not in (None, {}, [], "")


def _coloured(text: str, options: GlobalOptions) -> str:
    return click.style(text, fg=_COLOURS[text]) if text in _COLOURS and is_drawn(options) else text


def _align(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Columns with two blanks between, no colour, nothing cut: for pipes."""
    lines = [list(titles), *cells]
    widths = [max(len(line[n]) for line in lines) for n in range(len(titles))]
    for line in lines:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _draw(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for n, title in enumerate(titles):
        table.add_column(title, no_wrap=n == 0, overflow="ellipsis" if n else "fold")
    for line in cells:
        table.add_row(*[Text(text, style=_COLOURS.get(text, "")) for text in line])
    Console().print(table)
