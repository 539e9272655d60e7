"""How our own processes write their logs: one line of JSON a record, or a line of text for people."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from angelica.observe.logs import CaptureHandler, ContextFilter, full_message, message_of, untapped
from angelica.observe.redaction import Redactor
from angelica.plain import plain, plain_lines, without_surrogates

UVICORN: Final = ("uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error")

_CONTEXT: Final = frozenset({"task_id", "attempt", "trace_id", "queue", "function"})
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | _CONTEXT | {
    "asctime", "color_message", "message", "otelSpanID", "span_id", "taskName",
}  # fmt: skip
_KEYS: Final = frozenset({"timestamp", "level", "logger", "task_name", "error", "stack"})
_TEXT_LIMIT: Final = 1024  # of what stands for a value that JSON does not know
_DEEPEST: Final = 16
_WORD: Final = 64  # a longer integer is shown as text: few readers of JSON keep it

# Legal inside a JSON text, and yet a terminal or a line reader acts on them.
_ACTING: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e]")

_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class JsonFormatter(logging.Formatter):
    """One object a line.

    Always there: `timestamp` (ISO 8601, UTC, milliseconds, Z), `trace_id`, `task_name`, `level`, `message`, `logger`;
    the ids are null outside tasks. Inside tasks also `task_id`, `attempt`, `queue`; `span_id` where there is one;
    `error` with `type`, `message` and `stack` for an exception; and what came by `extra=` (under `extra_…` where the
    name is taken). A value that JSON does not know comes as its text, cut to 1,024 characters.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        super().__init__()
        self._redactor = redactor or Redactor()

    def format(self, record: logging.LogRecord) -> str:
        values = vars(record)
        text = self._redactor.text
        shown: dict[str, Any] = {
            "timestamp": _timestamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": text(message_of(record)),
            "trace_id": values.get("trace_id") or None,
            "task_name": values.get("function") or None,
        }
        shown.update({name: values[name] for name in ("task_id", "attempt", "queue") if values.get(name)})
        span = values.get("span_id") or values.get("otelSpanID")
        if span and span != "0":
            shown["span_id"] = span
        if record.exc_info and record.exc_info[0] is not None:
            shown["error"] = self._error(record)
        elif record.exc_text:
            shown["error"] = {"type": None, "message": None, "stack": text(record.exc_text)}
        if record.stack_info:
            shown["stack"] = text(record.stack_info)
        for name, value in extras(record, self._redactor).items():
            shown[f"extra_{name}" if name in _KEYS else name] = value
        return _ACTING.sub(_escaped, without_surrogates(json.dumps(shown, ensure_ascii=False, default=_text)))

    def _error(self, record: logging.LogRecord) -> dict[str, str]:
        kind, error, _ = record.exc_info or (None, None, None)
        stack = self.formatException(record.exc_info)  # type: ignore[arg-type]  # the caller has looked
        return {
            "type": kind.__qualname__ if kind is not None else "",
            "message": self._redactor.text(_text(error)),
            "stack": self._redactor.text(stack),
        }


class TextFormatter(logging.Formatter):
    """One line a record, for people: time (UTC), level, logger, message, extras, and the task it belongs to.

    Further lines of a message are indented, and control characters written out: no message can look like a record
    that it is not.
    """

    def __init__(self, redactor: Redactor | None = None, *, colours: bool = False) -> None:
        super().__init__()
        self._redactor = redactor or Redactor()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        values = vars(record)
        first, *further = plain_lines(self._redactor.text(full_message(record)))
        level = plain(record.levelname)
        parts = [_timestamp(record)[11:23], self._paint(f"{level:<8}", _COLOURS.get(level, "0")), plain(record.name)]
        parts.append(f" {first}")
        parts.extend(f"{plain(name)}={plain(_text(value))}" for name, value in extras(record, self._redactor).items())
        if values.get("task_id"):
            label = f"[{values.get('function')} {values['task_id']} #{values.get('attempt')}]"
            parts.append(self._paint(plain(label), "2"))
        return "\n    ".join([" ".join(parts), *further])

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def configure(
    format: Literal["text", "json"] = "text",  # noqa: A002 - the word of the setting
    level: int | str = "INFO",
    *,
    stream: TextIO | None = None,
    redactor: Redactor | None = None,
) -> logging.Handler:
    """Send all logs of this process, the web server's included, to one stream (default: stderr) in one format.

    For processes that are ours, not for an embedded engine: handlers of the root logger are replaced, but for the
    capture of tasks. Run uvicorn with `log_config=None`, or it sets up its own again. Colours are used on a terminal
    only, and never where `NO_COLOR` is set. Returns the handler. Calling it again replaces what it set up.
    """
    target = untapped(sys.stderr) if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.addFilter(ContextFilter())
    if format == "json":
        handler.setFormatter(JsonFormatter(redactor))
    else:
        handler.setFormatter(TextFormatter(redactor, colours=_wants_colours(target)))
    root = logging.getLogger()
    for other in list(root.handlers):
        if not isinstance(other, CaptureHandler):
            root.removeHandler(other)
    root.addHandler(handler)
    handler.setLevel(level)
    # The stream may want less than the logs of tasks do, so the root logger lets INFO pass in any case.
    root.setLevel(min(handler.level, logging.INFO))
    for name in UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    return handler


def extras(record: logging.LogRecord, redactor: Redactor) -> dict[str, Any]:
    """Return what came by `extra=`, redacted and fit for JSON."""
    return {name: redactor.value(_fit(value), name) for name, value in vars(record).items() if name not in _OWN}


def _fit(value: Any, path: tuple[int, ...] = ()) -> Any:
    """Return `value` as JSON knows it; `path` are the containers around it, so that a cycle ends."""
    match value:
        case None | bool() | str():
            return value
        case int() if value.bit_length() < _WORD:
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping() | list() | tuple() if id(value) in path or len(path) >= _DEEPEST:
            return "…"
        case Mapping():
            return {_text(key): _fit(item, (*path, id(value))) for key, item in value.items()}
        case list() | tuple():
            return [_fit(item, (*path, id(value))) for item in value]
        case _:
            return _text(value)


def _text(value: object) -> str:
    try:
        return str(value)[:_TEXT_LIMIT]
    except Exception:  # noqa: BLE001 - the user's __str__
        return f"<{type(value).__name__}>"


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _wants_colours(stream: TextIO) -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()
