"""A progress bar for long work, drawn for a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from angelica.cli.state import GlobalOptions

Progress = Callable[[int, int | None], None]
"""Called with how much is done and how much there is in all (None: nobody knows)."""


@contextmanager
def progress(title: str, options: GlobalOptions) -> Iterator[Progress]:
    """Yield what draws the bar; on a pipe, or with `--quiet`, it draws nothing."""
    if options.quiet or not sys.stderr.isatty():
        yield _draw_nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Bar(*columns, console=Console(stderr=True, no_color=options.no_color), transient=True) as bar:
        line = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)


def _draw_nothing(done: int, total: int | None) -> None:
    """Nobody looks."""
