"""How the command line fails: one line that says what, one that says what to do, and an exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Final

from angelica import errors
from angelica.cli.state import GlobalOptions
from angelica.plain import plain

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
REFUSED: Final = 4
CONFLICT: Final = 5
UNAVAILABLE: Final = 69
TIMED_OUT: Final = 75
INTERRUPTED: Final = 130

_BY_STATUS: Final = {400: USAGE, 401: REFUSED, 403: REFUSED, 404: NOT_FOUND, 409: CONFLICT, 412: CONFLICT, 422: USAGE}
_HINTS: Final = {
    errors.StorageUnavailable: "is the file writable, and is the disk full? `angelica doctor` looks",
    errors.StorageCorrupt: "`angelica db check` says what is wrong; `angelica db restore` brings a backup back",
    errors.SchemaMismatch: "`angelica db migrate` brings an older store up to date; a newer one needs a newer angelica",
    errors.StoreMoved: "start it again there: --url, ANGELICA_URL or `url` in angelica.toml (a password is not shown)",
    errors.QueueFull: "try again later, or raise max_depth",
    errors.ShuttingDown: "try again in a moment",
    errors.NotFinished: "wait for its end: `angelica tasks wait ID`",
}


class CliError(errors.AngelicaError):
    """A command cannot do what it was asked; `exit_code` is what the process ends with."""

    code = "cli"

    def __init__(self, message: str, *, hint: str = "", exit_code: int = USAGE) -> None:
        self.hint = hint
        self.exit_code = exit_code
        super().__init__(message)


def exit_code(error: BaseException) -> int:
    """Return the exit code that stands for an error."""
    match error:
        case CliError():
            return error.exit_code
        case errors.NotFound():
            return NOT_FOUND
        case errors.Conflict():
            return CONFLICT
        case errors.InvalidValue():
            return USAGE
        case errors.StorageError() | errors.ShuttingDown() | errors.QueueFull():
            return UNAVAILABLE
        case errors.WaitTimeout() | TimeoutError():
            return TIMED_OUT
        case errors.Refused():
            return REFUSED
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return UNAVAILABLE if status in (0, 429) or status >= 500 else _BY_STATUS.get(status, FAILED)  # noqa: PLR2004
    return FAILED


def hint_of(error: BaseException) -> str:
    """Return what to do about an error, empty if nothing better is known."""
    hint = getattr(error, "hint", "")
    if isinstance(hint, str) and hint:
        return hint
    return next((text for kind, text in _HINTS.items() if isinstance(error, kind)), "")


def report(error: BaseException, options: GlobalOptions) -> int:
    """Print an error to stderr and return its exit code."""
    known = isinstance(error, errors.AngelicaError)
    if os.environ.get("ANGELICA_DEBUG") and not isinstance(error, CliError):
        traceback.print_exception(error, file=sys.stderr)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    if isinstance(error, errors.InvalidValue):
        message = f"{error.field.strip('/').replace('/', '.')}: {error.problem}"
    hint = hint_of(error) or ("" if known else "this is a fault of angelica; ANGELICA_DEBUG=1 shows where")
    code = getattr(error, "code", "error")
    print_failure(message, hint, options, slug=code if known else "error")
    return exit_code(error)


def print_failure(message: str, hint: str, options: GlobalOptions, *, slug: str = "usage") -> None:
    """Print `error: …` and `hint: …`, or one JSON problem if JSON was asked for."""
    if options.output in ("json", "jsonl"):
        problem = {"type": f"/problems/{slug}", "error": slug, "detail": message, "hint": hint}
        sys.stderr.write(json.dumps(problem) + "\n")
        return
    sys.stderr.write(f"{paint('error:', 31, options)} {plain(message)}\n")
    if hint:
        sys.stderr.write(f"{paint('hint:', 36, options)} {plain(hint)}\n")


def paint(text: str, colour: int, options: GlobalOptions) -> str:
    """Colour a text for a terminal on stderr."""
    if options.no_color or os.environ.get("NO_COLOR") or not sys.stderr.isatty():
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
