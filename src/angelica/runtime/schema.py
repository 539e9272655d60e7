"""JSON Schema 2020-12 of a function's arguments, and the check of a call against such a schema alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter
from typing import Any, Final

import msgspec

from angelica.errors import InvalidArguments
from angelica.runtime.binding import Binding, Param
from angelica.runtime.payload import is_model
from angelica.strict_json import pointer

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REF: Final = "#/$defs/{name}"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def arguments_schema(binding: Binding) -> dict[str, Any]:
    """Return the schema of the keyword form of a call.

    `x-positional` lists the names that may also be given by position, in order; `x-positional-rest` says that more
    may follow them.
    """
    described = [p for p in binding.params if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    shapes, definitions = _shapes(described)
    properties = {p.name: _with_default(shape, p) for p, shape in zip(described, shapes, strict=True)}
    positional = [p.name for p in described if p.kind is not Parameter.KEYWORD_ONLY]
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        "required": [p.name for p in described if p.required],
        "additionalProperties": any(p.kind is Parameter.VAR_KEYWORD for p in binding.params),
        "x-positional": positional,
    }
    if any(p.kind is Parameter.VAR_POSITIONAL for p in binding.params):
        schema["x-positional-rest"] = True
    if definitions:
        schema["$defs"] = definitions
    return schema


def check_call(schema: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise `InvalidArguments` if a call of JSON values cannot fit: for functions whose code is not here.

    Checks names, number and outer JSON types; the worker that has the code checks the rest.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    positional: Sequence[str] = schema.get("x-positional", ())
    if len(args) > len(positional) and not schema.get("x-positional-rest"):
        most = len(positional)
        problem = f"takes at most {most} positional argument{'s' * (most != 1)}, {len(args)} were given"
        raise InvalidArguments(f"/args/{most}", problem, rule="unexpected")
    given = dict(zip(positional, args, strict=False))
    for name in kwargs:
        at = pointer("/kwargs", name)
        if name in given:
            raise InvalidArguments(at, "is given twice", rule="duplicate")
        if name not in properties and not schema.get("additionalProperties"):
            near = get_close_matches(name, list(properties), n=1)
            hint = f"did you mean {near[0]}?" if near else f"the function takes {', '.join(properties)}"
            raise InvalidArguments(at, "is not an argument of the function", hint=hint, rule="unexpected")
    missing = [name for name in schema.get("required", ()) if name not in given and name not in kwargs]
    if missing:
        raise InvalidArguments(f"/kwargs/{missing[0]}", "is missing", rule="missing", missing=missing)
    for place, (name, value) in enumerate(given.items()):
        _check_type(properties.get(name, {}), value, f"/args/{place}")
    for name, value in kwargs.items():
        _check_type(properties.get(name, {}), value, pointer("/kwargs", name))


def _shapes(params: Sequence[Param]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the schema of each parameter and the definitions they share; free where a type has none."""
    shapes: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for param in params:
        try:
            (shape,), found = msgspec.json.schema_components(
                [param.codec.annotation], schema_hook=_model_schema, ref_template=_REF
            )
        except (TypeError, NotImplementedError, RuntimeError):
            shape, found = {}, {}
        shapes.append(shape)
        definitions.update(found)
    return shapes, definitions


def _model_schema(kind: Any) -> dict[str, Any]:
    if is_model(kind) and hasattr(kind, "model_json_schema"):
        schema: dict[str, Any] = kind.model_json_schema()
        if "$defs" not in schema:  # with definitions of its own its references would point nowhere from here
            return schema
    return {"type": "object"} if is_model(kind) else {}


def _with_default(shape: dict[str, Any], param: Param) -> dict[str, Any]:
    if param.default is Parameter.empty:
        return shape
    try:
        default = json.loads(json.dumps(param.codec.to_json(param.default, "")))
    except Exception:  # noqa: BLE001 - a default that is no JSON value is simply not shown
        return shape
    return {**shape, "default": default}


def _check_type(shape: Mapping[str, Any], value: Any, at: str) -> None:
    wanted = shape.get("type")
    if not isinstance(wanted, str) or wanted not in _TYPES:
        return
    fits = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    if not fits:
        raise InvalidArguments(at, f"expected {wanted}, got {_name_of(value)}", rule="type")


def _name_of(value: Any) -> str:
    return next((name for name, kinds in _TYPES.items() if isinstance(value, kinds)), type(value).__name__)
