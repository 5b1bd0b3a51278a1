"""What an operation of the API is: how it is called, what it takes and gives, and who does it.

The routes, the check of what is given, and the OpenAPI document are all made from the same table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from aiohttp import web

from fleet_bootstraps.monitor.site import Site
from fleet_core.errors import InputError
from fleet_plugins.settings import close_matches

Schema = Mapping[str, Any]
_INTEGER = re.compile(r"-?[0-9]{1,100}")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Call:
    """A request, its parameters checked and read.

    Attributes:
        path, query: parameters by name; those of the query that were left out are not in it.
        body: the JSON object that came; empty where none is taken.
    """

    site: Site
    request: web.Request
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: its `operationId`.
        summary: one line.
        does: answers a call.
        query: schemas of the parameters of the query.
        body: schema of the JSON object that it takes.
        gives: schema of what it answers with 200.
        also: other statuses that it refuses with, besides those that every operation has.
        media: of the answer.
        open: whether it asks for no token.
    """

    method: str
    path: str
    name: str
    summary: str
    does: Callable[[Call], Awaitable[web.StreamResponse]]
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    gives: Schema = field(default_factory=dict)
    also: tuple[int, ...] = ()
    media: str = "application/json"
    open: bool = False

    def handler(self, site: Site) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """What aiohttp calls."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.does(await self._call(site, request))

        return handle

    async def _call(self, site: Site, request: web.Request) -> Call:
        query: dict[str, Any] = {}
        for name in dict.fromkeys(request.query):
            schema = self.query.get(name)
            if schema is None:
                hint = close_matches(name[:80], list(self.query)) if self.query else "it takes none"
                raise InputError("is no parameter of this operation", hint, field=name[:80])
            given = request.query.getall(name)
            if len(given) > 1:
                raise InputError("is given more than once", field=name)
            query[name] = _read(given[0], schema, name)
        missing = [n for n, s in self.query.items() if s.get("x-required") and n not in query]
        if missing:
            raise InputError("is missing", field=missing[0])
        body = await self._body(request) if self.body is not None else {}
        return Call(site, request, dict(request.match_info), query, body)

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        raw = await request.read()
        if not raw.strip():
            data: Any = {}
        else:
            if request.content_type != "application/json":
                raise InputError("should be application/json", field="Content-Type")
            try:
                data = json.loads(raw, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                raise InputError("is not JSON", field="body") from None
        validator = jsonschema.Draft202012Validator(self.body or {})
        for wrong in validator.iter_errors(data):
            where = ".".join(str(part) for part in wrong.absolute_path)
            raise InputError(wrong.message[:300], field=f"body.{where}" if where else "body")
        assert isinstance(data, dict)
        return data


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _read(text: str, schema: Schema, name: str) -> Any:
    """A parameter by its schema; InputError names it."""
    value: Any = text
    kind = schema.get("type")
    if kind == "integer":
        if not _INTEGER.fullmatch(text):
            raise InputError("should be a whole number", field=name)
        value = int(text)
    elif kind == "boolean":
        if text not in _TRUTH:
            raise InputError("should be true or false", field=name)
        value = _TRUTH[text]
    for wrong in jsonschema.Draft202012Validator(schema).iter_errors(value):
        raise InputError(wrong.message[:300], field=name)
    return value
