"""The formats: one record is one line, nothing in it can look like another, and the web server writes the same."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from angelica.current import CURRENT, Running
from angelica.observe import logs
from angelica.observe.formats import UVICORN, JsonFormatter, TextFormatter, configure
from angelica.observe.redaction import Redactor


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Nowhere:
    """A sink that keeps nothing."""

    def write(self, running: Running, stream: str, level: str, logger: str, message: str) -> None:
        pass

    def feed(self, running: Running, stream: str, text: str) -> None:
        pass


@contextmanager
def process() -> Iterator[None]:
    """Put logging back as it was."""
    loggers = [logging.getLogger(name) for name in ("", *UVICORN)]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        logs.uninstall()
        for logger, handlers, level, propagate in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagate


@contextmanager
def task() -> Iterator[None]:
    token = CURRENT.set(Running("t-1", 2, "shop.mail", "bulk", "trace-1", Nowhere()))
    try:
        yield
    finally:
        CURRENT.reset(token)


def record(message: object = "hello", *args: object, **values: Any) -> logging.LogRecord:
    made = logging.LogRecord("shop", logging.INFO, "file.py", 1, message, args, None)
    made.created = datetime(2026, 3, 4, 5, 6, 7, 89_999, UTC).timestamp()
    vars(made).update(values)
    return made


def as_json(made: logging.LogRecord, redactor: Redactor | None = None) -> dict[str, Any]:
    line = JsonFormatter(redactor).format(made)
    assert len(line.splitlines()) == 1
    shown = json.loads(line)
    assert isinstance(shown, dict)
    return shown


def failed(error: Exception) -> Any:
    try:
        raise error  # noqa: TRY301 - a traceback is wanted
    except Exception:  # noqa: BLE001
        return sys.exc_info()


def test_outside_a_task_the_required_keys_are_there() -> None:
    assert as_json(record("%d mails", 3)) == {
        "timestamp": "2026-03-04T05:06:07.089Z",
        "level": "INFO",
        "logger": "shop",
        "message": "3 mails",
        "trace_id": None,
        "task_name": None,
    }


def test_inside_a_task_the_ids_are_there() -> None:
    made = record()
    with task():
        logs.ContextFilter().filter(made)
    shown = as_json(made)
    assert shown["trace_id"] == "trace-1"
    assert shown["task_name"] == "shop.mail"
    assert (shown["task_id"], shown["attempt"], shown["queue"]) == ("t-1", 2, "bulk")
    assert "function" not in shown


def test_extras_come_as_they_are_or_as_text() -> None:
    loop: list[Any] = []
    loop.append(loop)
    shown = as_json(
        record(
            order=7,
            rate=float("nan"),
            when=datetime(2026, 1, 2, tzinfo=UTC),
            nested={"a": [1, None, {2}]},
            loop=loop,
            huge=1 << 70,
            level="fake",
            timestamp="fake",
            error="fake",
            span_id="abc",
        )
    )
    assert shown["order"] == 7
    assert shown["rate"] == "nan"
    assert shown["when"] == "2026-01-02 00:00:00+00:00"
    assert shown["nested"] == {"a": [1, None, "{2}"]}
    assert shown["loop"] == ["…"]
    assert shown["huge"] == str(1 << 70)
    assert (shown["level"], shown["timestamp"]) == ("INFO", "2026-03-04T05:06:07.089Z")
    assert shown["extra_level"] == shown["extra_timestamp"] == shown["extra_error"] == "fake"
    assert shown["span_id"] == "abc"


def test_an_exception_is_an_object() -> None:
    error = as_json(record(exc_info=failed(ValueError("no such order"))))["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no such order")
    assert error["stack"].startswith("Traceback (most recent call last):\n")
    assert "error" not in as_json(record(exc_info=(None, None, None)))


def test_secrets_are_masked_everywhere() -> None:
    made = record("login with password=%s", "hunter2", api_key="k", user={"token": "t"}, url="a://u:p@h",
                  exc_info=failed(ValueError("known-secret")))  # fmt: skip
    redactor = Redactor(["known-secret"])
    for line in (JsonFormatter(redactor).format(made), TextFormatter(redactor).format(made)):
        assert "hunter2" not in line
        assert "known-secret" not in line
        assert "u:p@" not in line
    shown = as_json(made, redactor)
    assert (shown["api_key"], shown["user"]) == ("[redacted]", {"token": "[redacted]"})


@given(st.text(st.characters(codec="utf-8")))
def test_every_message_is_one_line_of_json_and_comes_back_exactly(message: str) -> None:
    line = JsonFormatter(Redactor(names=["none"])).format(record("%s", message))
    assert len(line.splitlines()) == 1
    assert not set(line) & {chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E)}
    line.encode()
    assert json.loads(line)["message"] == message


def test_half_a_surrogate_is_replaced() -> None:
    assert as_json(record("a \udcff b"))["message"] == "a \ufffd b"


def test_a_text_line_tells_the_task_and_the_extras() -> None:
    made = record("sent", order=7)
    with task():
        logs.ContextFilter().filter(made)
    assert TextFormatter().format(made) == "05:06:07.089 INFO     shop  sent order=7 [shop.mail t-1 #2]"


def test_a_text_line_cannot_fake_another() -> None:
    fake = "x\n05:06:07.089 ERROR    root  all is lost\r\x1b[2J"
    shown = TextFormatter().format(record(fake, note="a\nb"))
    assert shown.split("\n") == [
        "05:06:07.089 INFO     shop  x note=a\\x0ab",
        "    05:06:07.089 ERROR    root  all is lost",
        "    \\x1b[2J",
    ]


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Screen(), {}, True),
        (io.StringIO(), {}, False),
        (Screen(), {"NO_COLOR": "1"}, False),
        (Screen(), {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_only(
    stream: io.StringIO, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with process():
        configure("text", stream=stream)
        logging.getLogger("shop").error("red")
    assert ("\x1b[31mERROR" in stream.getvalue()) == coloured


def test_tasks_and_the_web_server_write_one_stream_in_one_format() -> None:
    stream = io.StringIO()
    with process():
        uvicorn.Config("app:app")  # sets up its own handlers, as an import of uvicorn's command line would
        configure("json", stream=stream)
        uvicorn.Config("app:app", log_config=None)
        logs.install()
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "127.0.0.1", "GET", "/x?token=abc", "1.1", 200
        )
        logging.getLogger("uvicorn.error").info("started", extra={"color_message": "x"})
        with task():
            logging.getLogger("some.library").warning("inside")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == '127.0.0.1 - "GET /x?token=[redacted] HTTP/1.1" 200'
    assert "color_message" not in second
    assert (third["logger"], third["task_id"], third["task_name"]) == ("some.library", "t-1", "shop.mail")


def test_configuring_again_replaces_and_leaves_the_capture() -> None:
    with process():
        logs.install()
        configure("text", stream=io.StringIO())
        handler = configure("json", "DEBUG", stream=io.StringIO())
        root = logging.getLogger()
        assert [type(other).__name__ for other in root.handlers] == ["CaptureHandler", "StreamHandler"]
        assert handler in root.handlers
        assert root.level == logging.DEBUG


def test_a_quiet_stream_does_not_silence_the_logs_of_tasks() -> None:
    stream = io.StringIO()
    with process():
        handler = configure("text", "WARNING", stream=stream)
        logging.getLogger("shop").info("not shown")
        logging.getLogger("shop").warning("shown")
        assert handler.level == logging.WARNING
        assert logging.getLogger("shop").isEnabledFor(logging.INFO)
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["shown"]
