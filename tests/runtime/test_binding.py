"""Binding arguments: which calls fit, what the payload says, and what the handler gets."""

from __future__ import annotations

import pytest

from angelica.errors import InvalidArguments
from angelica.runtime.binding import make_binding, resolve_hints


class Ctx:
    __angelica_context__ = True


def binding(handler, **names):
    return make_binding(handler, resolve_hints(handler, {"Ctx": Ctx, **names}))


def resize(width: int, height: int = 2, *, mode: str = "fit") -> None: ...


def test_a_plain_call_is_carried_as_it_was_made():
    plan = binding(resize)
    payload = plan.encode((1,), {"mode": "crop"})
    assert payload == '{"args":[1],"kwargs":{"mode":"crop"}}'
    assert plan.decode(payload) == ([1], {"mode": "crop"})


@pytest.mark.parametrize(
    ("args", "kwargs", "field", "says"),
    [
        ((), {}, "/kwargs/width", "missing"),
        ((1, 2, 3), {}, "/args/2", "at most 2 positional"),
        ((1,), {"width": 2}, "/kwargs/width", "twice"),
        ((1,), {"mod": "x"}, "/kwargs/mod", "did you mean mode"),
        ((1,), {"a/b": 1}, "/kwargs/a~1b", "not an argument"),
        (("x",), {}, "/args/0", "expected int, got str"),
        ((True,), {}, "/args/0", "expected int, got bool"),
        ((1.5,), {}, "/args/0", "expected int, got float"),
        ((None,), {}, "/args/0", "expected int, got null"),
        ((2**63,), {}, "/args/0", "must be from"),
        ((1,), {"mode": 5}, "/kwargs/mode", "expected str, got int"),
        ((1,), {"mode": "\x00"}, "/kwargs/mode", "NUL"),
        ((1,), {"mode": "\ud800"}, "/kwargs/mode", "surrogate"),
        ((object(),), {}, "/args/0", "not JSON"),
    ],
)
def test_a_call_that_does_not_fit_names_the_argument(args, kwargs, field, says):
    with pytest.raises(InvalidArguments) as caught:
        binding(resize).encode(args, kwargs)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_all_missing_arguments_are_named():
    def both(a: int, b: int) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        binding(both).encode((), {})
    assert caught.value.params["missing"] == ["a", "b"]


def test_required_keyword_only_arguments_are_not_overlooked_by_the_short_way():
    def only(*, a: int) -> None: ...

    with pytest.raises(InvalidArguments, match="missing"):
        binding(only).encode((), {})
    with pytest.raises(InvalidArguments, match="missing"):
        binding(only).decode('{"args":[],"kwargs":{}}')


def test_rest_arguments_are_checked_by_their_annotation():
    def total(first: int, *rest: int, **named: str) -> None: ...

    plan = binding(total)
    payload = plan.encode((1, 2, 3), {"a": "x"})
    assert plan.decode(payload) == ([1, 2, 3], {"a": "x"})
    with pytest.raises(InvalidArguments) as caught:
        plan.encode((1, 2, "x"), {})
    assert caught.value.field == "/args/2"
    with pytest.raises(InvalidArguments) as caught:
        plan.encode((1,), {"a": 1})
    assert caught.value.field == "/kwargs/a"


def test_positional_only_arguments_have_no_name():
    def only(a: int, /) -> None: ...

    plan = binding(only)
    assert plan.decode(plan.encode((1,), {})) == ([1], {})
    with pytest.raises(InvalidArguments):
        plan.encode((), {"a": 1})


def test_a_stored_payload_that_no_longer_fits_is_refused():
    with pytest.raises(InvalidArguments):
        binding(resize).decode('{"args":[],"kwargs":{"gone":1}}')


def test_the_context_is_no_argument_and_positions_count_without_it():
    def handler(ctx: Ctx, a: int, b: int = 2) -> tuple[object, int, int]:
        return ctx, a, b

    plan = binding(handler)
    assert plan.context_parameter == "ctx"
    args, kwargs = plan.decode(plan.encode((1, 5), {}))
    marker = object()
    assert handler(*args, **kwargs, ctx=marker) == (marker, 1, 5)
    with pytest.raises(InvalidArguments):
        plan.encode((1,), {"ctx": 1})


def test_the_context_may_stand_last_or_be_optional():
    def handler(a: int, ctx: Ctx | None = None) -> None: ...

    plan = binding(handler)
    assert plan.context_parameter == "ctx"
    assert plan.decode(plan.encode((1,), {})) == ([1], {})


@pytest.mark.parametrize("source", ["two", "before_rest"])
def test_a_context_that_cannot_be_passed_is_an_error_at_the_declaration(source):
    def two(a: Ctx, b: Ctx) -> None: ...

    def before_rest(ctx: Ctx, *rest: int) -> None: ...

    with pytest.raises(TypeError):
        binding({"two": two, "before_rest": before_rest}[source])


def test_named_gives_all_bound_arguments():
    assert binding(resize).named((1,), {"mode": "x"}) == {"width": 1, "height": 2, "mode": "x"}
