r"""Capture: whatever is logged or printed inside a task goes to that task's log, library loggers included.

`install` puts one handler on the root logger and taps `sys.stdout` and `sys.stderr`. Both look at the context
variable `CURRENT`, so they work in coroutines, in the executors' threads, and in threads that were started with
`contextvars.copy_context().run`. A bare `threading.Thread` begins with an empty context before Python 3.14: what it
logs reaches the ordinary handlers only.

`ContextFilter` puts the ids on the records of one's own handlers:

    handler.addFilter(ContextFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(task_id)s#%(attempt)s %(message)s"))

structlog: end the chain in `logging`, and each event is captured and carries the ids:

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )

loguru: hand its messages to `logging`; or, to keep its own sinks, let `context` fill `extra`:

    class ToLogging(logging.Handler):
        def emit(self, record):
            logging.getLogger(record.name).handle(record)

    loguru.logger.remove()
    loguru.logger.add(ToLogging(), format=lambda _: "{message}", diagnose=False)

    loguru.logger.configure(patcher=lambda record: record["extra"].update(context()))
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, Final, TextIO, cast

from angelica.current import CURRENT
from angelica.observe.streams import BUSY, StreamTap

OWN_LOGGER: Final = "angelica"

_NO_CONTEXT: Final[dict[str, Any]] = {"task_id": "", "attempt": "", "trace_id": "", "queue": "", "function": ""}
_TRACEBACKS: Final = logging.Formatter()


def context() -> dict[str, Any]:
    """Return `task_id`, `attempt`, `trace_id`, `queue` and `function` of the running attempt, empty texts outside."""
    running = CURRENT.get()
    if running is None:
        return dict(_NO_CONTEXT)
    return {
        "task_id": running.task_id,
        "attempt": running.attempt,
        "trace_id": running.trace_id,
        "queue": running.queue,
        "function": running.function,
    }


class ContextFilter(logging.Filter):
    """Puts `context()` on every record as attributes; refuses none.

    Outside tasks it leaves what a record already has, so a record that was made in a task and is handled by a
    queue's listener elsewhere keeps its ids.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        values = vars(record)
        if CURRENT.get() is None:
            for name, value in _NO_CONTEXT.items():
                values.setdefault(name, value)
        else:
            values.update(context())
        return True


class CaptureHandler(logging.Handler):
    """Routes each record made inside a task to the task's log; outside it does next to nothing.

    It takes no lock: the sink is safe for threads, and no task waits for another one's line.
    """

    def createLock(self) -> None:  # noqa: N802 - logging's name
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take the record; logging calls this."""
        if CURRENT.get() is not None and not BUSY.here and self.filter(record):
            self.emit(record)
        # Our being there must not silence the warnings that logging prints where nobody has configured it.
        if record.levelno >= logging.WARNING and logging.lastResort is not None and _nobody_else(record, self):
            logging.lastResort.handle(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Record it in the log of the running attempt."""
        running = CURRENT.get()
        if running is None:
            return
        BUSY.here = True
        try:
            running.sink.write(running, "log", record.levelname, record.name, full_message(record))
        except Exception:  # noqa: BLE001 - as every handler does: a log call never fails
            self.handleError(record)
        finally:
            BUSY.here = False

    def takes(self, record: logging.LogRecord) -> bool:
        """Say whether the record comes here by itself."""
        if record.levelno < self.level:
            return False
        return any(self in logger.handlers for logger in _way_up(record))

    def _at_fork_reinit(self) -> None:
        pass


def full_message(record: logging.LogRecord) -> str:
    """Return the record's message with its traceback and stack; a message that cannot be made says so."""
    text = message_of(record)
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{_TRACEBACKS.formatException(record.exc_info)}"
    elif record.exc_text:
        text = f"{text}\n{record.exc_text}"
    if record.stack_info:
        text = f"{text}\n{record.stack_info}"
    return text


def message_of(record: logging.LogRecord) -> str:
    """Return the record's message; one whose arguments do not fit comes as it was written, with the reason."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - the arguments are the user's, and so are their __str__
        return f"{record.msg} (this message could not be formatted: {type(error).__name__})"


class _Capture:
    """What stands while capture is installed, and who wants it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders: set[object] = set()
        self.handler: CaptureHandler | None = None
        self.taps: list[tuple[str, StreamTap]] = []
        self.levels: list[tuple[logging.Logger, int, int]] = []  # the logger, its level before, the level we gave it


_capture: Final = _Capture()


def install(level: int | str = "INFO", *, passthrough: bool = True) -> object:
    """Begin to capture; return the holder to give back to `uninstall`.

    Records from `level` on are captured. The root logger's own level is lowered to it only where nobody has
    configured logging; the loggers under `angelica` let it pass in any case. With `passthrough` False, what tasks
    print goes to their logs alone. While capture stands, a further call adds a holder, and taps a stream that somebody
    has put in the place of a tapped one. Configure logging before: `logging.basicConfig` does nothing once the root
    logger has a handler, and this is one.
    """
    holder = object()
    with _capture.lock:
        _capture.holders.add(holder)
        if _capture.handler is None:
            handler = CaptureHandler(level)
            root = logging.getLogger()
            if not root.handlers:
                _lower(root, handler.level)
            _lower(logging.getLogger(OWN_LOGGER), handler.level)
            root.addHandler(handler)
            _capture.handler = handler
        for name in ("stdout", "stderr"):
            if getattr(sys, name) not in [tap for _, tap in _capture.taps]:
                _tap(name, _capture.handler, passthrough=passthrough)
    return holder


def uninstall(holder: object | None = None) -> None:
    """Give `holder` back; with the last one, or without an argument, put everything back as it was."""
    with _capture.lock:
        _capture.holders.discard(holder)
        if holder is None:
            _capture.holders.clear()
        if _capture.holders or _capture.handler is None:
            return
        logging.getLogger().removeHandler(_capture.handler)
        _capture.handler.close()
        _capture.handler = None
        for name, tap in reversed(_capture.taps):
            tap.active = False
            if getattr(sys, name) is tap:  # else somebody has put another one around it, which still holds the tap
                setattr(sys, name, tap.target)
        for logger, before, given in _capture.levels:
            if logger.level == given:
                logger.setLevel(before)
        _capture.taps.clear()
        _capture.levels.clear()


def untapped(stream: TextIO) -> TextIO:
    """Return the stream that a tap writes to, or `stream` itself if it is none."""
    return stream.target if isinstance(stream, StreamTap) else stream


def _lower(logger: logging.Logger, level: int) -> None:
    if logger.getEffectiveLevel() > level:
        _capture.levels.append((logger, logger.level, level))
        logger.setLevel(level)


def _tap(name: str, handler: CaptureHandler, *, passthrough: bool) -> None:
    target = getattr(sys, name)
    if target is None:  # a process without a terminal, pythonw for one
        return
    tap = StreamTap(target, name, passthrough=passthrough, captured=handler.takes)
    setattr(sys, name, cast("TextIO", tap))
    _capture.taps.append((name, tap))


def _way_up(record: logging.LogRecord) -> list[logging.Logger]:
    """Return the loggers whose handlers the record is offered to."""
    found = logging.Logger.manager.loggerDict.get(record.name)
    logger: logging.Logger | None = found if isinstance(found, logging.Logger) else logging.getLogger()
    way = []
    while logger is not None:
        way.append(logger)
        logger = logger.parent if logger.propagate else None
    return way


def _nobody_else(record: logging.LogRecord, handler: logging.Handler) -> bool:
    return all(other is handler for logger in _way_up(record) for other in logger.handlers)
