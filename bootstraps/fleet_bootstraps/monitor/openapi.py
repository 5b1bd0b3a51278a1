"""The OpenAPI document of the API, made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import fleet_core
from fleet_bootstraps.monitor.operations import Operation
from fleet_bootstraps.monitor.schemas import COMPONENTS, ref

_PARAMETER = re.compile(r"\{([a-z_]+)\}")


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SWE AI Fleet monitor",
            "version": fleet_core.__version__,
            "description": "What a fleet does and did, drawn from its event log.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(COMPONENTS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    statuses = {200: operation.gives, **_refusals(operation)}
    out: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_in_path(operation), *_in_query(operation)],
        "responses": {
            str(status): _response(status, schema, operation.media if status == 200 else _JSON)
            for status, schema in sorted(statuses.items())
        },
        "security": [] if operation.open else [{"token": []}, {}],
    }
    if operation.body is not None:
        required = bool(operation.body.get("required") or operation.body.get("minProperties"))
        out["requestBody"] = {
            "required": required,
            "content": {_JSON: {"schema": dict(operation.body)}},
        }
    return out


_JSON = "application/json"


def _refusals(operation: Operation) -> dict[int, Mapping[str, Any]]:
    """What an operation can answer in place of what is asked for."""
    error = ref("Error")
    found: dict[int, Mapping[str, Any]] = {400: error, 403: error, 413: error}
    found |= dict.fromkeys(operation.also, error)
    if not operation.open or operation.name == "sign_in":
        found[401] = error
    if "{" in operation.path:
        found[404] = error
    if not operation.open:
        found[503] = found[502] = error
    if operation.path.startswith("/api/admin/"):
        found[200] = found[409] = ref("Done")
        found[404] = error
    return found


def _response(status: int, schema: Mapping[str, Any], media: str) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {media: {"schema": dict(schema)}},
    }


def _in_path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(operation.path)
    ]


def _in_query(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "required": bool(schema.get("x-required")),
            "schema": {key: value for key, value in schema.items() if key != "x-required"},
        }
        for name, schema in operation.query.items()
    ]
