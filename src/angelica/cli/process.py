"""What the API process and the worker process share: how they start, how they fail, how they are stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from angelica.cli import failure
from angelica.cli.moved import follow
from angelica.cli.spec import AppError
from angelica.cli.state import GlobalOptions
from angelica.errors import AngelicaError, SchemaMismatch, StoreMoved
from angelica.process import hear
from angelica.runtime.childlink import ChildLink

_ORPHANED: Final = 5.0
_LAST_FRAMES: Final = 8


class Lifetime:
    """How long a process shall live: `stop` ends it in order, `hasten` shortens that, `drain` turns intake off."""

    def __init__(self, link: ChildLink | None) -> None:
        self.link = link
        self.stop = asyncio.Event()
        self.hasten = asyncio.Event()
        self.drain = asyncio.Event()
        self._signals = 0
        if link is not None:
            hear((signal.SIGTERM,), self.on_signal)
            link.watch(self._on_word, self._on_gone)
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.on_signal)

    def on_signal(self) -> None:
        """The first signal stops, the second hastens."""
        self._signals += 1
        (self.hasten if self._signals > 1 else self.stop).set()
        self.drain.set()

    def leave(self) -> None:
        """Say that this process ends because an operator wants it to."""
        if self.link is not None:
            self.link.leaving()

    def _on_word(self, word: str) -> None:
        if word == "drain":
            self.drain.set()
        elif word == "hasten":
            self.end_now()

    def _on_gone(self) -> None:
        """The supervisor died: hand everything back now; who would restart us is not there."""
        self.end_now()

    def end_now(self) -> None:
        """End, and wait for nothing that runs."""
        self.drain.set()
        self.stop.set()
        self.hasten.set()


def run_process(body: Callable[[ChildLink | None], Awaitable[int]], options: GlobalOptions) -> int:
    """Run the body of a process and return its exit code; tells the supervisor, if there is one, why it failed."""
    link = ChildLink.inherit()

    async def run() -> int:
        return await body(link)

    try:
        return asyncio.run(run())
    except (Exception, SystemExit) as error:
        if link is None and isinstance(error, StoreMoved):
            follow(error.url, options)
        if link is None and isinstance(error, AngelicaError):
            raise
        tell_failure(error, link, options)
        return failure.exit_code(error)


def tell_failure(error: BaseException, link: ChildLink | None, options: GlobalOptions) -> None:
    """Say why this process cannot go on: to the supervisor, else on stderr."""
    known = isinstance(error, AngelicaError)
    detail = "" if known else _user_frames(error)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    hint = failure.hint_of(error)
    if link is None:
        sys.stderr.write(detail)
        failure.print_failure(text, hint, options)
        return
    fatal = isinstance(error, SchemaMismatch | StoreMoved) or (isinstance(error, AppError) and error.fatal)
    code = failure.exit_code(error) if fatal else None
    link.failed(text, hint=hint, detail=detail, fatal=code, moved_to=error.url if isinstance(error, StoreMoved) else "")


def _user_frames(error: BaseException) -> str:
    """The traceback without our own frames and those of the import system: what the user can mend."""
    frames = traceback.TracebackException.from_exception(error, limit=None)
    frames.stack = traceback.StackSummary.from_list(
        [
            frame
            for frame in frames.stack
            if "importlib" not in frame.filename and "/angelica/cli/" not in frame.filename
        ]
    )
    return "".join(frames.format())
