"""Values that cross: by annotation there and back, and results that are refused."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, TypedDict
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from angelica.errors import InvalidArguments
from angelica.runtime.payload import ResultNotSerialisable, ResultTooLarge, codec_of, encode_result

NOW = datetime(2026, 11, 22, 2, 0, 0, 123456, tzinfo=UTC)
Meters = NewType("Meters", int)


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    a: int


class Point(msgspec.Struct):
    x: int


class Shape(TypedDict):
    side: int


@dataclass
class Order:
    when: datetime
    model: Model | None = None


class Session:
    pass


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (int, 1, 1),
        (float, 2, 2),
        (Any, {"a": [1, "x", None]}, {"a": [1, "x", None]}),
        (Meters, 5, 5),
        (Annotated[int, "metres"], 5, 5),
        (Literal["a", "b"], "a", "a"),
        (datetime, NOW, "2026-11-22T02:00:00.123456Z"),
        (date, NOW.date(), "2026-11-22"),
        (timedelta, timedelta(seconds=90), "PT90S"),
        (Decimal, Decimal("1.50"), "1.50"),
        (UUID, UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Colour, Colour.RED, "red"),
        (tuple[int, str], (1, "a"), [1, "a"]),
        (set[int], {3, 1}, [1, 3]),
        (frozenset[str], frozenset({"a"}), ["a"]),
        (list[datetime], [NOW], ["2026-11-22T02:00:00.123456Z"]),
        (dict[int, str], {1: "a"}, {"1": "a"}),
        (UUID | None, None, None),
        (datetime | str, NOW, "2026-11-22T02:00:00.123456Z"),
        (str | datetime, "plain", "plain"),
        (Model, Model(a=1), {"a": 1}),
        (list[Model], [Model(a=1)], [{"a": 1}]),
        (Model | None, None, None),
        (Point, Point(2), {"x": 2}),
        (Shape, {"side": 1}, {"side": 1}),
        (Order, Order(NOW, Model(a=1)), {"when": "2026-11-22T02:00:00.123456Z", "model": {"a": 1}}),
        (bytes, b"ab", "YWI="),
    ],
)
def test_a_value_comes_back_as_it_went(annotation, value, stored):
    codec = codec_of(annotation)
    made = codec.to_json(value, "/args/0")
    assert json.loads(json.dumps(made)) == stored
    assert codec.to_json(stored, "/args/0") == stored, "HTTP hands in what is stored"
    back = made if codec.from_json is None else codec.from_json(made)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "field"),
    [
        (int, "x", "/args/0"),
        (str, 1, "/args/0"),
        (float, float("nan"), "/args/0"),
        (list[int], [1, "x"], "/args/0/1"),
        (Order, {"when": 1}, "/args/0/when"),
        (datetime, "soon", "/args/0"),
        (Colour, "blue", "/args/0"),
        (Model, {"a": "x"}, "/args/0/a"),
        (Model, {}, "/args/0/a"),
        (list[Model], [{"a": 1}, {"a": "x"}], "/args/0/1/a"),
        (datetime | int, "x", "/args/0"),
        (Any, {1, 2}, "/args/0"),
        (Any, {"a": NOW}, "/args/0/a"),
        (Any, Colour.RED, "/args/0"),
        (Any, {1: 2}, "/args/0"),
        (Session, Session(), "/args/0"),
        (Session | None, Session(), "/args/0"),
        (list[Session], [Session()], "/args/0"),
        (int, Session(), "/args/0"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_its_place(annotation, value, field):
    with pytest.raises(InvalidArguments) as caught:
        codec_of(annotation).to_json(value, "/args/0")
    assert caught.value.field == field


def test_a_value_that_contains_itself_is_refused():
    value: list[Any] = []
    value.append(value)
    for annotation in (Any, list[Any], set[Any]):
        with pytest.raises(InvalidArguments):
            codec_of(annotation).to_json(value, "/args/0")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (1, "1"),
        (True, "true"),
        (1.5, "1.5"),
        ("é", '"é"'),
        ((1, [2]), "[1,[2]]"),
        ({"at": NOW}, '{"at":"2026-11-22T02:00:00.123456Z"}'),
        (Model(a=1), '{"a":1}'),
        (Order(NOW), '{"when":"2026-11-22T02:00:00.123456Z","model":null}'),
        ([Colour.RED, Decimal("1.5")], '["red","1.5"]'),
    ],
)
def test_results(value, text):
    assert encode_result(value, annotated=False, limit=1000) == text


def cyclic() -> object:
    value: dict[str, object] = {}
    value["self"] = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        cyclic(),
        {1, 2},
        b"x",
        float("nan"),
        float("inf"),
        pytest.param(10**5000, id="digits"),
        2**63,
        "\ud800",
        "a\x00b",
        {"a": {"b": object()}},
        Order,
        (x for x in ()),
        Point(2**70),
        Order(NOW, Model.model_construct(a=object())),
    ],
)
def test_results_that_are_no_json(value):
    with pytest.raises(ResultNotSerialisable):
        encode_result(value, annotated=False, limit=1000)


def test_sets_are_results_of_functions_that_say_so():
    assert encode_result({2, 1}, annotated=True, limit=1000) == "[1,2]"


def test_the_limit_counts_bytes():
    assert encode_result("é" * 49, annotated=False, limit=100)
    with pytest.raises(ResultTooLarge):
        encode_result("é" * 50, annotated=False, limit=100)
    with pytest.raises(ResultTooLarge):
        encode_result("x" * 100_000_000, annotated=False, limit=65_536)


def test_a_model_whose_dump_raises_is_not_serialisable():
    class Bad:
        def model_validate(self) -> None: ...

        def model_dump(self, mode: str) -> None:
            raise ZeroDivisionError

    with pytest.raises(ResultNotSerialisable):
        encode_result(Bad(), annotated=False, limit=1000)
