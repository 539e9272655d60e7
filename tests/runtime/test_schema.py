"""The JSON Schema of a function, and calls checked against it alone."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import BaseModel

from angelica.errors import InvalidArguments
from angelica.runtime.binding import make_binding, resolve_hints
from angelica.runtime.schema import arguments_schema, check_call


class Model(BaseModel):
    a: int


class Opaque:
    pass


def render(
    report_id: int, when: datetime, *tags: str, title: str = "Report", model: Model | None = None, o: Opaque = None
) -> None: ...


def schema_of(handler):
    return arguments_schema(make_binding(handler, resolve_hints(handler, {})))


def test_the_schema_describes_the_keyword_form():
    schema = schema_of(render)
    properties = schema["properties"]
    assert schema["required"] == ["report_id", "when"]
    assert schema["additionalProperties"] is False
    assert schema["x-positional"] == ["report_id", "when"]
    assert schema["x-positional-rest"] is True
    assert properties["report_id"] == {"type": "integer"}
    assert properties["title"] == {"type": "string", "default": "Report"}
    assert properties["model"]["default"] is None
    assert list(properties) == ["report_id", "when", "title", "model", "o"]


def test_a_call_that_fits_passes():
    check_call(schema_of(render), [1, "2026-01-01T00:00:00Z", "a", "b"], {"title": "x"})


@pytest.mark.parametrize(
    ("args", "kwargs", "field"),
    [
        ([], {}, "/kwargs/report_id"),
        ([1], {"report_id": 1, "when": "x"}, "/kwargs/report_id"),
        (["x", "y"], {}, "/args/0"),
        ([True, "y"], {}, "/args/0"),
        ([1, "y"], {"titel": "x"}, "/kwargs/titel"),
        ([1, "y"], {"title": 5}, "/kwargs/title"),
    ],
)
def test_a_call_that_cannot_fit_names_the_argument(args, kwargs, field):
    with pytest.raises(InvalidArguments) as caught:
        check_call(schema_of(render), args, kwargs)
    assert caught.value.field == field


def test_too_many_positions():
    def one(a: int) -> None: ...

    with pytest.raises(InvalidArguments, match="at most 1 positional argument, 2"):
        check_call(schema_of(one), [1, 2], {})
