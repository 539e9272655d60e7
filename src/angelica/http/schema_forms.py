"""Forms of schemas: the few shapes of which all others are made."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"
TEXT: Final[Schema] = {"type": "string"}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
NUMBER: Final[Schema] = {"type": "number"}
INTEGER: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
ANY: Final[Schema] = {}
DURATION: Final[Schema] = {
    "description": "Seconds, or text like `30s`, `1h30m`, `PT5M`.",
    "oneOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}


def ref(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": REF + name}


def nullable(schema: Schema) -> Schema:
    """Return the schema that allows null too."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(items: Schema, **more: Schema) -> Schema:
    """Return the schema of an answer with `items`."""
    properties = {"items": {"type": "array", "items": items}, **more}
    return {"type": "object", "required": ["items"], "properties": properties}


def thing(description: str, required: str = "", /, **properties: Schema) -> Schema:
    """Return the schema of an object; `required` names members with blanks between them."""
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    return {**schema, "required": required.split()} if required else schema
