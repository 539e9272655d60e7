"""Declaring functions: names, defaults, refusals, and what a function offers."""

from __future__ import annotations

import asyncio
import functools
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from angelica.clock import SECOND
from angelica.domain.retry import Exponential, Fixed
from angelica.errors import InvalidArguments, InvalidValue, NotSupported
from angelica.runtime.defaults import defaults_from_text
from angelica.runtime.drafts import InvalidRequest
from angelica.runtime.functions import AsyncFunction, Function
from angelica.runtime.options import NO_OPTIONS
from angelica.runtime.registry import default_name
from tests.runtime.house_of_functions import registry


def plain(x: int) -> int:
    """Double it."""
    return x * 2


async def waiting(x: int) -> int:
    return x * 2


class Recorder:
    """A submitter that keeps what it gets."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def submit_call(self, function, args, kwargs, options):
        self.calls.append((function.name, args, kwargs, options))
        return len(self.calls)

    async def submit_calls(self, function, calls, options):
        self.calls.append((function.name, calls, options))
        return list(range(len(calls)))

    def call(self, coroutine):
        return asyncio.run(coroutine)


def test_a_function_is_called_like_its_handler():
    functions = registry()
    double = functions.declare(plain)
    later = functions.declare(waiting)
    assert double(4) == 8
    assert asyncio.run(later(4)) == 8
    assert (double.executor, later.executor) == ("thread", "async")
    assert isinstance(later, AsyncFunction)
    assert double.__doc__ == "Double it."
    assert functions.get(double.name) is double
    assert functions.names() == sorted([double.name, later.name])


def test_names_come_from_the_place_of_the_declaration():
    def inner() -> None: ...

    assert default_name(plain) == f"{__name__}.plain"
    assert default_name(inner) == f"{__name__}.test_names_come_from_the_place_of_the_declaration.inner"
    with pytest.raises(TypeError, match="name="):
        default_name(lambda: None)
    with pytest.raises(TypeError, match="name="):
        registry().declare(functools.partial(plain, 1))
    assert registry().declare(functools.partial(plain, 1), name="one").name == "one"


def test_a_script_is_named_after_its_file(monkeypatch):
    def fn() -> None: ...

    fn.__module__ = "__main__"
    fn.__qualname__ = "fn"
    monkeypatch.setitem(__import__("sys").modules, "__main__", SimpleNamespace(__file__="/x/app.py", __spec__=None))
    assert default_name(fn) == "app.fn"


def test_a_name_is_declared_once():
    functions = registry()
    functions.declare(plain, name="a")
    with pytest.raises(InvalidValue, match="declared twice"):
        functions.declare(waiting, name="a")


def test_defaults_and_their_text():
    function = registry().declare(
        plain,
        queue="mail",
        priority=5,
        timeout="30s",
        retries=1,
        backoff=Fixed(2.0),
        retry_on=[OSError, "pkg.Error"],
        version=3,
        labels={"env": "prod"},
        unique={"key": "double:{x}", "scope": "retained"},
        expires="1h",
        concurrency=4,
        result_ttl="1d",
        id_strategy="snowflake",
        resources={"cpu": 2, "memory": "4GB"},
    )
    assert function.defaults.resources == {"cpu": 2.0, "memory": 4_000_000_000}
    assert not function.is_plain
    assert function.policy.timeout == 30 * SECOND
    assert function.policy.retry_on == ("OSError", "pkg.Error")
    assert function.concurrency == 4
    assert function.unique_key("double:{x}", (7,), {}) == "double:7"
    row = function.row(seen_at=5)
    assert defaults_from_text(row.name, row.version, row.executor, row.defaults) == function.defaults
    assert row.doc == "Double it."


def test_profiles_grade_time_outs_and_retries():
    quick = registry().declare(plain, profile="quick")
    assert (quick.policy.timeout, quick.policy.retries) == (2 * SECOND, 2)
    own = registry().declare(plain, profile="bulk", retries=0, timeout=None)
    assert (own.policy.timeout, own.policy.retries) == (None, 0)


def test_a_backoff_of_the_users_own_leaves_an_exponential_one_in_the_snapshot():
    function = registry().declare(plain, backoff=lambda failures: failures * 2.0)
    assert function.custom_backoff is not None
    assert function.custom_backoff(3) == 6.0
    assert function.policy.backoff == Exponential()


@pytest.mark.parametrize(
    ("given", "error", "field"),
    [
        ({"prioriti": 1}, InvalidValue, "/prioriti"),
        ({"priority": 128}, InvalidValue, "/priority"),
        ({"retries": -1}, InvalidValue, "/retries"),
        ({"timeout": 0}, InvalidValue, "/timeout"),
        ({"version": 2**32}, InvalidValue, "/version"),
        ({"executor": "gpu"}, InvalidValue, "/executor"),
        ({"executor": "async"}, InvalidValue, "/executor"),
        ({"executor": "process", "durable": False}, InvalidValue, "/executor"),
        ({"profile": "slow"}, InvalidValue, "/profile"),
        ({"overflow": "wait"}, InvalidValue, "/overflow"),
        ({"concurrency": 0}, InvalidValue, "/concurrency"),
        ({"durable": "no"}, InvalidValue, "/durable"),
        ({"rate": "often"}, InvalidValue, "/rate"),
        ({"callback": "x"}, NotSupported, "/callback"),
        ({"resources": 2}, InvalidValue, "/resources"),
        ({"resources": {"gpu": 1}}, InvalidValue, "/resources/gpu"),
        ({"resources": {"cpu": 0}}, InvalidValue, "/resources/cpu"),
        ({"resources": {"memory": "1KB"}}, InvalidValue, "/resources/memory"),
        ({"limits": ["acme"]}, InvalidValue, "/limits"),
        ({"name": ""}, InvalidValue, "/name"),
        ({"name": " x"}, InvalidValue, "/name"),
    ],
)
def test_a_declaration_is_refused_with_the_argument_named(given, error, field):
    functions = registry()
    with pytest.raises(error) as caught:
        functions.declare(plain, **given)
    assert caught.value.field == field
    assert len(functions) == 0


def test_a_wrong_member_is_told_with_the_declaration_it_stands_in():
    with pytest.raises(InvalidValue, match=r"resources\.cpu: must be from .* \(in the declaration of f\)") as caught:
        registry().declare(plain, name="f", resources={"cpu": 0})
    assert caught.value.rule == "out_of_range"


def test_generators_are_no_handlers():
    def generator():
        yield 1

    async def agenerator():
        yield 1

    for handler in (generator, agenerator):
        with pytest.raises(TypeError, match="generator"):
            registry().declare(handler)


def test_types_of_the_declaring_scope_are_found():
    class Ctx:
        __angelica_context__ = True

    functions = registry()

    @functions.decorator(name="f")
    def handler(ctx: Ctx, x: int) -> None: ...

    assert handler.context_parameter == "ctx"


def test_types_that_come_later_are_found_at_the_first_use():
    functions = registry()

    def handler(x: Later) -> None: ...  # noqa: F821 - comes later

    function = functions.declare(handler)
    globals()["Later"] = int
    try:
        assert function.encode((1,), {}) == '{"args":[1],"kwargs":{}}'
    finally:
        del globals()["Later"]


def test_enqueue_hands_the_call_to_the_engine():
    recorder = Recorder()
    function = registry(recorder).declare(plain, name="f")
    assert function.enqueue(1) == 1
    assert asyncio.run(function.aenqueue(x=2)) == 2
    assert function.enqueue_many([(1,), {"x": 2}]) == [0, 1]
    assert asyncio.run(function.aenqueue_many([])) == []
    assert recorder.calls == [
        ("f", (1,), {}, NO_OPTIONS),
        ("f", (), {"x": 2}, NO_OPTIONS),
        ("f", [((1,), {}), ((), {"x": 2})], NO_OPTIONS),
    ]
    with pytest.raises(InvalidArguments, match="tuple"):
        function.enqueue_many([1])
    with pytest.raises(RuntimeError, match="no engine"):
        registry().declare(plain).enqueue(1)


def test_using_adds_up_and_leaves_the_function_as_it_was():
    function = registry(Recorder()).declare(plain)
    other = function.using(queue="a", priority=5).using(priority=6, timeout=None)
    assert isinstance(other, Function)
    assert other.options.canonical() == {"queue": "a", "priority": 6, "timeout": None}
    assert function.options is NO_OPTIONS
    assert other(2) == 4
    assert function.using(at="2026-11-22T02:00:00Z").options.run_at == 1_795_312_800 * SECOND


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"prio": 1}, "/prio"),
        ({"notify": False}, "/notify"),
        ({"connection": object(), "notify": "no"}, "/notify"),
        ({"key": "x"}, "/key"),
        ({"name": "x"}, "/name"),
    ],
)
def test_using_refuses_what_it_does_not_know(options, field):
    with pytest.raises(InvalidValue) as caught:
        registry().declare(plain).using(**options)
    assert caught.value.field == field


def test_using_collects_all_problems():
    with pytest.raises(InvalidRequest) as caught:
        registry().declare(plain).using(priority=1000, retries=-1)
    assert [problem.field for problem in caught.value.problems] == ["/priority", "/retries"]


def test_a_payload_beyond_the_limit_is_refused():
    function = registry(payload_limit=100).declare(lambda x: x, name="f")
    assert function.encode(("é" * 30,), {})
    for big in ("x" * 100, "é" * 50):
        with pytest.raises(InvalidArguments) as caught:
            function.encode((big,), {})
        assert caught.value.rule == "too_large"


def test_a_unique_key_is_filled_from_json_values():
    def report(day: date, colour: str = "red", *, final: bool = False) -> None: ...

    function = registry().declare(report)
    key = function.unique_key("{day}/{colour}/{final}", ["2026-01-01"], {"final": True})
    assert key == "2026-01-01/red/true"
    for template in ("{nobody}", "{", "{0}", "{day.year}"):
        with pytest.raises(InvalidArguments, match="cannot be filled"):
            function.unique_key(template, ["2026-01-01"], {})
