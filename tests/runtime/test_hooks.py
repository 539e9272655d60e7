"""Hooks and middleware: in order, for whom they were meant, and never in the way of a task."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from angelica.current import CURRENT
from angelica.errors import SubmitRefused
from angelica.runtime.hooks import Hooks, Submission


def test_hooks_run_in_order_and_only_where_they_concern():
    hooks = Hooks()
    seen: list[str] = []
    hooks.on("on_success")(lambda task: seen.append(f"all {task}"))

    @hooks.on("on_success", queue="mail")
    async def mail(task):
        seen.append(f"mail {task}")

    hooks.on("on_success", function="g")(lambda task: seen.append(f"g {task}"))
    asyncio.run(hooks.run("on_success", "f", "mail", 1))
    asyncio.run(hooks.run("on_success", "g", "default", 2))
    assert seen == ["all 1", "mail 1", "all 2", "g 2"]
    assert hooks.wants("on_success")
    assert not hooks.wants("on_failure")


def test_a_failing_hook_is_logged_and_the_next_runs(caplog):
    hooks = Hooks()
    seen: list[int] = []
    hooks.on("on_retry")(lambda task: 1 / 0)
    hooks.on("on_retry")(seen.append)
    asyncio.run(hooks.run("on_retry", "f", "q", 5))
    assert seen == [5]
    assert "on_retry" in caplog.text


def test_before_submit_may_refuse_or_change_and_may_not_break(caplog):
    hooks = Hooks()
    hooks.on("before_submit")(lambda submission: 1 / 0)

    @hooks.on("before_submit")
    async def stamp(submission):
        submission.headers["tenant"] = "acme"

    made = asyncio.run(hooks.refuse_or_change(Submission("f", "q", (), {})))
    assert made.headers == {"tenant": "acme"}
    assert "before_submit" in caplog.text

    @hooks.on("before_submit", function="f")
    def refuse(submission):
        raise SubmitRefused("not today", status=403)

    with pytest.raises(SubmitRefused, match="not today"):
        asyncio.run(hooks.refuse_or_change(Submission("f", "q", (), {})))
    asyncio.run(hooks.refuse_or_change(Submission("g", "q", (), {})))


def test_an_unknown_hook_is_an_error():
    with pytest.raises(ValueError, match="before_submit"):
        Hooks().on("before_lunch")


def test_without_hooks_the_handler_itself_is_called():
    def handler() -> None: ...

    assert Hooks().call_of("f", handler, is_async=False) is handler


def test_middleware_wraps_and_run_hooks_stand_around_it():
    hooks = Hooks()
    seen: list[str] = []

    def loud(word):
        def middleware(function, handler):
            def call(*args):
                seen.append(f"{word} in")
                try:
                    return handler(*args)
                finally:
                    seen.append(f"{word} out")

            return call

        return middleware

    hooks.middleware += [loud("outer"), loud("inner")]
    hooks.on("before_run")(lambda task: seen.append(f"before {task}"))

    @hooks.on("after_run")
    async def after(task):
        seen.append(f"after {task}")

    call = hooks.call_of("f", lambda x: x + 1, is_async=False)
    token = CURRENT.set(SimpleNamespace(queue="q", task="T"))
    try:
        assert call(1) == 2
    finally:
        CURRENT.reset(token)
    assert seen == ["before T", "outer in", "inner in", "inner out", "outer out", "after T"]


def test_run_hooks_stand_around_coroutines_too_and_see_failures():
    hooks = Hooks()
    seen: list[str] = []
    hooks.on("before_run", function="f")(lambda task: seen.append("before"))
    hooks.on("after_run", function="f")(lambda task: seen.append("after"))

    async def handler():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(hooks.call_of("f", handler, is_async=True)())
    assert seen == ["before", "after"]
    assert hooks.call_of("g", handler, is_async=True) is handler


def test_middleware_must_return_a_callable():
    hooks = Hooks()
    hooks.middleware.append(lambda function, handler: None)
    with pytest.raises(TypeError, match="callable"):
        hooks.call_of("f", lambda: None, is_async=False)
