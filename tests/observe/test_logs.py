"""Capture: what is logged or printed inside a task reaches the task's log, once, and everything can be put back."""

# ruff: noqa: T201 - printing is what is tested

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import pytest

from angelica.current import CURRENT, Running
from angelica.observe import logs
from angelica.observe.logs import ContextFilter
from angelica.observe.streams import StreamTap


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, str, str]] = []
        self.fed: list[tuple[str, str]] = []

    def write(self, running: Running, stream: str, level: str, logger: str, message: str) -> None:
        self.written.append((stream, level, logger, message))

    def feed(self, running: Running, stream: str, text: str) -> None:
        self.fed.append((stream, text))

    def text(self, stream: str) -> str:
        return "".join(text for name, text in self.fed if name == stream)


class Loud(Sink):
    """Logs and prints while it records, as a careless sink or a finalizer would."""

    def write(self, running: Running, stream: str, level: str, logger: str, message: str) -> None:
        logging.getLogger("sink").warning("recording %s", message)
        print("recording", message)
        super().write(running, stream, level, logger, message)

    def feed(self, running: Running, stream: str, text: str) -> None:
        logging.getLogger("sink").warning("recording %s", text)
        super().feed(running, stream, text)


class Broken(Sink):
    """Raises."""

    def write(self, running: Running, stream: str, level: str, logger: str, message: str) -> None:
        raise OSError("broken")

    def feed(self, running: Running, stream: str, text: str) -> None:
        raise OSError("broken")


@contextmanager
def process() -> Iterator[io.StringIO]:
    """A process where nobody has configured logging, with both streams on one terminal that can be read.

    Not a fixture: pytest puts its own handlers and streams in place between the fixtures and the test.
    """
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.stdout, sys.stderr)
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    sys.stdout = sys.stderr = screen = io.StringIO()
    try:
        yield screen
    finally:
        logs.uninstall()
        root.handlers[:], _, sys.stdout, sys.stderr = before
        root.setLevel(before[1])


class Through(io.RawIOBase):
    """Bytes that go to a stream of text."""

    def __init__(self, target: TextIO) -> None:
        self.target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.target.write(bytes(data).decode())
        return len(data)


@contextmanager
def inside(sink: Sink) -> Iterator[Sink]:
    token = CURRENT.set(Running("t-1", 2, "shop.mail", "bulk", "trace-1", sink))
    try:
        yield sink
    finally:
        CURRENT.reset(token)


def in_a_process(test: Callable[[io.StringIO], None]) -> Callable[[], None]:
    """Run the test in a fresh process, given its terminal."""

    def run() -> None:
        with process() as terminal:
            test(terminal)

    run.__name__ = test.__name__
    return run


def in_a_task(test: Callable[[Sink, io.StringIO], None]) -> Callable[[], None]:
    """Run the test inside a task, with capture installed, given its sink and the terminal."""

    def run() -> None:
        with process() as terminal:
            logs.install()
            with inside(Sink()) as sink:
                test(sink, terminal)

    run.__name__ = test.__name__
    return run


@in_a_task
def test_a_library_logger_reaches_the_log_of_the_task(sink: Sink, terminal: io.StringIO) -> None:
    logging.getLogger("some.library").info("sent %d mails", 3)
    logging.getLogger("some.library").debug("too fine")
    assert sink.written == [("log", "INFO", "some.library", "sent 3 mails")]


@in_a_task
def test_a_traceback_comes_with_the_message(sink: Sink, terminal: io.StringIO) -> None:
    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("shop").exception("failed")
    ((_, level, _, message),) = sink.written
    assert level == "ERROR"
    assert message.startswith("failed\nTraceback (most recent call last):\n")
    assert message.endswith("KeyError: 'missing'")


@in_a_task
def test_a_message_that_cannot_be_formatted_is_still_recorded(sink: Sink, terminal: io.StringIO) -> None:
    logging.getLogger("shop").info("%d mails", "three")
    assert sink.written[0][3] == "%d mails (this message could not be formatted: TypeError)"


@in_a_process
def test_outside_a_task_nothing_is_recorded(terminal: io.StringIO) -> None:
    sink = Sink()
    logs.install()
    logging.getLogger("shop").info("outside")
    print("outside")
    assert sink.written == sink.fed == []


@in_a_task
def test_prints_are_recorded_and_still_shown(sink: Sink, terminal: io.StringIO) -> None:
    print("to", "stdout")
    print("to stderr", file=sys.stderr)
    sys.stdout.writelines(["a\n", "b\n"])
    assert sink.text("stdout") == "to stdout\na\nb\n"
    assert sink.text("stderr") == "to stderr\n"
    assert terminal.getvalue() == "to stdout\nto stderr\na\nb\n"


@in_a_process
def test_without_passthrough_a_print_goes_to_the_log_alone(terminal: io.StringIO) -> None:
    logs.install(passthrough=False)
    with inside(Sink()) as sink:
        assert sys.stdout.write("inside\n") == 7
        assert sink.text("stdout") == "inside\n"
    print("outside")
    assert terminal.getvalue() == "outside\n"


@in_a_task
def test_a_tap_is_a_stream_in_all_other_respects(sink: Sink, terminal: io.StringIO) -> None:
    assert isinstance(sys.stdout, StreamTap)
    assert logs.untapped(sys.stdout) is terminal
    assert not sys.stdout.isatty()
    with pytest.raises(TypeError):
        sys.stdout.write(b"bytes")
    sys.stdout.flush()


@in_a_task
def test_a_record_that_a_handler_prints_is_recorded_once(sink: Sink, terminal: io.StringIO) -> None:
    handler = logging.StreamHandler(sys.stderr)  # made after the tap stands, so it holds the tap
    logging.getLogger().addHandler(handler)
    logging.getLogger("shop").warning("once")
    assert [message for *_, message in sink.written] == ["once"]
    assert sink.fed == []
    assert terminal.getvalue() == "once\n"


@in_a_task
def test_what_a_handler_prints_of_a_record_that_is_not_captured_is_recorded_as_print(
    sink: Sink, terminal: io.StringIO
) -> None:
    logger = logging.getLogger("test.closed")
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        logger.warning("by itself")
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert sink.written == []
    assert sink.text("stderr") == "by itself\n"


@in_a_task
def test_warnings_are_shown_as_if_we_were_not_there(sink: Sink, terminal: io.StringIO) -> None:
    logging.getLogger("shop").warning("in the task")
    CURRENT.set(None)
    logging.getLogger("shop").warning("outside")
    logging.getLogger("shop").info("not shown")
    assert terminal.getvalue() == "in the task\noutside\n"
    assert [message for *_, message in sink.written] == ["in the task"]
    assert sink.fed == []


@in_a_process
def test_a_sink_that_logs_does_not_go_round_in_circles(terminal: io.StringIO) -> None:
    logs.install()
    with inside(Loud()) as sink:
        logging.getLogger("shop").info("message")
        print("printed")
        assert [message for *_, message in sink.written] == ["message"]
        assert sink.text("stdout") == "printed\n"
    assert terminal.getvalue() == ("recording message\nrecording message\nrecording printed\nprintedrecording \n\n\n")


@in_a_process
def test_a_broken_sink_breaks_neither_print_nor_log(terminal: io.StringIO) -> None:
    logs.install()
    with inside(Broken()):
        logging.getLogger("shop").info("message")
        print("printed")
    assert terminal.getvalue().startswith("--- Logging error ---\n")
    assert terminal.getvalue().endswith("\nprinted\n")


@in_a_task
def test_threads_with_a_copied_context_and_asyncio_tasks_belong_to_the_task(sink: Sink, terminal: io.StringIO) -> None:
    thread = threading.Thread(target=contextvars.copy_context().run, args=(print, "from a thread"))
    thread.start()
    thread.join()

    async def child() -> None:
        logging.getLogger("shop").info("from a child")

    async def parent() -> None:
        await asyncio.gather(child(), asyncio.to_thread(logging.getLogger("shop").info, "from to_thread"))

    asyncio.run(parent())
    assert sink.text("stdout") == "from a thread\n"
    assert {message for *_, message in sink.written} == {"from a child", "from to_thread"}


@in_a_process
def test_everything_is_put_back(terminal: io.StringIO) -> None:
    root, own = logging.getLogger(), logging.getLogger("angelica")
    before = (root.handlers[:], root.level, own.level)
    logs.install("DEBUG")
    assert (root.level, own.level) == (logging.DEBUG, logging.NOTSET)
    logs.uninstall()
    assert (root.handlers, root.level, own.level) == before
    assert sys.stdout is sys.stderr is terminal


@in_a_process
def test_a_second_install_adds_a_holder_and_nothing_else(terminal: io.StringIO) -> None:
    first, second = logs.install(), logs.install()
    assert len(logging.getLogger().handlers) == 1
    assert logs.untapped(sys.stdout) is terminal
    logs.uninstall(first)
    logs.uninstall(first)
    assert len(logging.getLogger().handlers) == 1
    logs.uninstall(second)
    assert logging.getLogger().handlers == []
    logs.uninstall()


@in_a_task
def test_a_stream_that_was_wrapped_meanwhile_stays_and_the_tap_in_it_falls_silent(
    sink: Sink, terminal: io.StringIO
) -> None:
    tap = sys.stdout
    wrapper = io.StringIO()
    sys.stdout = wrapper
    logs.uninstall()
    assert sys.stdout is wrapper
    tap.write("after\n")
    assert sink.fed == []


@in_a_process
def test_a_stream_that_was_replaced_is_tapped_by_the_next_install(terminal: io.StringIO) -> None:
    logs.install()
    tap, other = sys.stdout, io.StringIO()
    sys.stdout = other
    logs.install()
    with inside(Sink()) as sink:
        print("to the new one")
    assert sink.fed == [("stdout", "to the new one"), ("stdout", "\n")]
    assert other.getvalue() == "to the new one\n"
    logs.uninstall()
    assert sys.stdout is other
    sys.stdout = tap
    with inside(Sink()) as sink:
        print("after")
    assert sink.fed == []


@in_a_process
def test_a_stream_around_a_tap_is_recorded_once(terminal: io.StringIO) -> None:
    logs.install()
    sys.stdout = io.TextIOWrapper(Through(sys.stdout), write_through=True)
    logs.install()
    with inside(Sink()) as sink:
        print("once")
    assert "".join(text for _, text in sink.fed) == "once\n"
    assert terminal.getvalue() == "once\n"


@in_a_process
def test_configured_logging_keeps_its_level_and_our_own_loggers_pass(terminal: io.StringIO) -> None:
    logging.basicConfig(level=logging.WARNING, stream=terminal, format="%(message)s")
    logs.install()
    with inside(Sink()) as sink:
        logging.getLogger("some.library").info("not asked for")
        logging.getLogger("angelica.task.mail").info("from the task")
        assert [message for *_, message in sink.written] == ["from the task"]


@in_a_process
def test_a_level_that_the_user_set_lower_stays(terminal: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    logs.install("INFO")
    assert logging.getLogger("angelica").getEffectiveLevel() == logging.DEBUG


@in_a_task
def test_the_filter_puts_the_ids_on_every_record(sink: Sink, terminal: io.StringIO) -> None:
    record = logging.makeLogRecord({"msg": "x"})
    assert ContextFilter().filter(record)
    ids = ("t-1", 2, "trace-1", "bulk", "shop.mail")
    assert (record.task_id, record.attempt, record.trace_id, record.queue, record.function) == ids
    CURRENT.set(None)
    assert ContextFilter().filter(record)
    assert record.task_id == "t-1"
    other = logging.makeLogRecord({"msg": "x"})
    assert ContextFilter().filter(other)
    assert (other.task_id, other.attempt, other.trace_id, other.queue, other.function) == ("",) * 5
