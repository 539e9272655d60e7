"""The API document: OpenAPI 3.1, made from the table that serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from angelica.http.answers import JSON, Answer, encode
from angelica.http.call import NDJSON, Call
from angelica.http.problems import PROBLEM_TYPE
from angelica.http.query import Parameter
from angelica.http.schema_forms import ref
from angelica.http.schemas import components
from angelica.http.table import Endpoint

HEADERS: Final[Mapping[str, str]] = {
    "Idempotency-Key": "The same key with the same body answers what was answered before (24 h, at most 255 bytes).",
    "Prefer": "`wait=10` (at most 60), `respond-async`, `return=minimal` (RFC 7240).",
    "If-None-Match": "304 if the entity tag is still this one.",
    "If-Match": "412 unless the entity tag is this one.",
    "Last-Event-ID": "Resume a stream after this event.",
    "traceparent": "W3C trace context, taken over into the task.",
}


def operation(endpoint: Endpoint) -> dict[str, Any]:
    """Return the operation object of one endpoint."""
    parameters = [_path_parameter(name) for name in path_names(endpoint.path)]
    parameters += [_query_parameter(parameter) for parameter in endpoint.query]
    parameters += [
        {"name": name, "in": "header", "description": HEADERS[name], "schema": {"type": "string"}}
        for name in endpoint.headers
    ]
    made: dict[str, Any] = {
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": responses(endpoint),
    }
    if parameters:
        made["parameters"] = parameters
    if endpoint.body is not None:
        content: dict[str, Any] = {JSON.decode(): {"schema": ref(endpoint.body)}}
        if endpoint.body == "Batch":
            content[NDJSON.decode()] = {"schema": {"type": "string", "description": "One NewTask a line."}}
        made["requestBody"] = {"required": endpoint.body_required, "content": content}
    made["security"] = [] if endpoint.scope == "open" else [{"token": []}]
    return {**made, **endpoint.extra}


def responses(endpoint: Endpoint) -> dict[str, Any]:
    """Return the responses object: the answers of the table, and the problems that any call may meet."""
    made: dict[str, Any] = {}
    for status, schema in endpoint.answers.items():
        made[str(status)] = {"description": HTTPStatus(status).phrase}
        if schema is not None:
            one = ref(schema) if isinstance(schema, str) else dict(schema)
            content = {
                media.decode(): {"schema": one if media == JSON else {"type": "string"}} for media in endpoint.accepts
            }
            made[str(status)]["content"] = content
    common = (400,) if endpoint.scope == "open" else (400, 401, 403, 503)
    for status in (*common, 406, *endpoint.problems):
        problem = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_TYPE.decode(): {"schema": ref("Problem")}},
        }
        made.setdefault(str(status), problem)
    made["default"] = {
        "description": "Any other failure.",
        "content": {PROBLEM_TYPE.decode(): {"schema": ref("Problem")}},
    }
    return made


def operation_id(endpoint: Endpoint) -> str:
    """Return a stable name for generated clients, e.g. `post_tasks_by_task_id_cancel`."""
    parts = [f"by_{part[1:-1]}" if part.startswith("{") else part for part in endpoint.path.split("/") if part]
    return "_".join([endpoint.method.lower(), *parts]).replace(".", "_").replace("-", "_")


def path_names(path: str) -> list[str]:
    """Return the names of the parameters in a path."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def document(endpoints: Iterable[Endpoint], *, version: str, base: str = "") -> dict[str, Any]:
    """Return the whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Angelica",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base or "/"}, {"url": f"{base}/api/v1"}],
        "paths": paths,
        "components": {
            "schemas": components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def page(endpoints: tuple[Endpoint, ...], call: Call) -> Answer:
    """GET /openapi.json."""
    base = call.base.removesuffix("/api/v1")
    return Answer(200, _encoded(endpoints, call.host.version, base))


@lru_cache(maxsize=8)
def _encoded(endpoints: tuple[Endpoint, ...], version: str, base: str) -> bytes:
    return encode(document(endpoints, version=version, base=base))


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.text,
        "schema": dict(parameter.schema),
    }
    if parameter.name.endswith("."):
        # OpenAPI has no form for "any key that begins so": the example shows one.
        made["description"] += " (any key that begins so)"
    return made
