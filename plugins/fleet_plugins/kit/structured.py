"""Structured answers: JSON text held against the schema it was asked for.

Most schemas of agents use a handful of keywords; those are compiled to closures, which costs a
few microseconds a check. A schema with any other keyword goes through `jsonschema`, whole.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from fleet_core.errors import MalformedAnswer

_Check = Callable[[Any, str], str]
"""A value and its path to what is wrong with it, empty where it conforms."""
_Compiler = Callable[[dict[str, Any]], _Check]

_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$schema", "$comment"})
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_RECENT = 64
_recent: dict[int, tuple[Mapping[str, Any], Callable[[Any], str]]] = {}  # holds on to each schema
_dump: Callable[[object], str] = json.JSONEncoder(separators=(",", ":")).encode


def parse_structured(text: str, schema: Mapping[str, Any], *, finish: str = "stop") -> Any:
    """The value of a structured answer.

    Raises:
        MalformedAnswer: it is not JSON, or not of the schema; says where.
    """
    try:
        value = _decode(text)
        if "\\ud" in text or "\\uD" in text:
            _dump_utf8(value)
    except ValueError as error:
        if finish == "length":
            raise MalformedAnswer(
                f"the answer was cut off by its token limit after {len(text)} characters of JSON",
                "allow longer answers (max_tokens)",
            ) from None
        raise MalformedAnswer(f"the answer is not JSON: {error}; {_shown(text)}") from None
    problem = schema_check(schema)(value)
    if problem:
        raise MalformedAnswer(f"the answer is not of the schema asked for: {problem}")
    return value


def unfenced(text: str) -> str:
    """The JSON inside free text: a fenced block's, else from the first brace to the last."""
    match = _FENCE.search(text)
    if match:
        return match[1].strip()
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def schema_check(schema: Mapping[str, Any]) -> Callable[[Any], str]:
    """A function from a JSON value to what is wrong with it, empty where it conforms.

    A schema is not changed once it was used; the same object is found again by its identity.
    """
    known = _recent.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    check = _compiled(schema_text(schema))
    if len(_recent) >= _RECENT:
        _recent.pop(next(iter(_recent)), None)
    _recent[id(schema)] = (schema, check)
    return check


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema as compact JSON."""
    return _dump(schema)


@lru_cache(maxsize=256)
def _compiled(text: str) -> Callable[[Any], str]:
    schema = json.loads(text)
    try:
        check = _compile(schema)
    except _Uncommon:
        return _by_jsonschema(schema)
    return lambda value: check(value, "")


def _by_jsonschema(schema: Any) -> Callable[[Any], str]:
    import jsonschema  # noqa: PLC0415 -- slow to import, and seldom needed

    validator = jsonschema.Draft202012Validator(schema)

    def slow(value: Any) -> str:
        error = next(validator.iter_errors(value), None)
        return "" if error is None else f"{error.json_path}: {error.message}"[:300]

    return slow


class _Uncommon(Exception):
    """A keyword, or a use of one, that is left to `jsonschema`."""


def _compile(schema: Any) -> _Check:
    if not isinstance(schema, dict):
        raise _Uncommon
    checks: list[_Check] = []
    for keyword in schema.keys() - _ANNOTATIONS:
        if keyword not in _COMPILERS:
            raise _Uncommon
    for keyword, compiler in _COMPILERS.items():
        if keyword in schema:
            checks.append(compiler(schema))
    return checks[0] if len(checks) == 1 else _all(checks)


def _all(checks: list[_Check]) -> _Check:
    def check(value: Any, at: str) -> str:
        for one in checks:
            problem = one(value, at)
            if problem:
                return problem
        return ""

    return check


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: (
        (isinstance(v, int) and not isinstance(v, bool))
        or (isinstance(v, float) and v.is_integer())
    ),
}


def _type(schema: dict[str, Any]) -> _Check:
    name = schema["type"]
    holds = _TYPES.get(name) if isinstance(name, str) else None
    if holds is None:
        raise _Uncommon
    return lambda value, at: "" if holds(value) else f"{at or '$'} should be of type {name}"


def _enum(schema: dict[str, Any]) -> _Check:
    members = schema["enum"]
    if not all(isinstance(member, str) for member in members):
        raise _Uncommon
    allowed = frozenset(members)

    def check(value: Any, at: str) -> str:
        if isinstance(value, str) and value in allowed:
            return ""
        return f"{at or '$'} is {_shown(value)}, none of {', '.join(members)}"

    return check


def _size(
    keyword: str, kind: type[list[Any] | str], holds: Callable[[int, int], bool]
) -> _Compiler:
    def compiler(schema: dict[str, Any]) -> _Check:
        bound = schema[keyword]

        def check(value: Any, at: str) -> str:
            if not isinstance(value, kind) or holds(len(value), bound):
                return ""
            return f"{at or '$'} has length {len(value)}, {keyword} is {bound}"

        return check

    return compiler


def _items(schema: dict[str, Any]) -> _Check:
    item = _compile(schema["items"])

    def check(value: Any, at: str) -> str:
        if isinstance(value, list):
            for index, entry in enumerate(value):
                problem = item(entry, f"{at}[{index}]")
                if problem:
                    return problem
        return ""

    return check


def _unique(schema: dict[str, Any]) -> _Check:
    if schema["uniqueItems"] is not True or schema.get("items", {}).get("type") != "string":
        raise _Uncommon

    def check(value: Any, at: str) -> str:
        if not isinstance(value, list) or len(set(value)) == len(value):
            return ""
        return f"{at or '$'} names {_shown(next(v for v in value if value.count(v) > 1))} twice"

    return check


def _required(schema: dict[str, Any]) -> _Check:
    names = tuple(schema["required"])

    def check(value: Any, at: str) -> str:
        if isinstance(value, dict):
            for name in names:
                if name not in value:
                    return f"{_at(at, name)} is missing"
        return ""

    return check


def _properties(schema: dict[str, Any]) -> _Check:
    properties = {name: _compile(inner) for name, inner in schema["properties"].items()}

    def check(value: Any, at: str) -> str:
        if isinstance(value, dict):
            for name, entry in value.items():
                inner = properties.get(name)
                problem = "" if inner is None else inner(entry, _at(at, name))
                if problem:
                    return problem
        return ""

    return check


def _additional(schema: dict[str, Any]) -> _Check:
    extra = schema["additionalProperties"]
    if not isinstance(extra, bool):
        raise _Uncommon
    known = schema.get("properties", {}).keys()

    def check(value: Any, at: str) -> str:
        if not extra and isinstance(value, dict):
            for name in value:
                if name not in known:
                    return f"{_at(at, name)} was not asked for"
        return ""

    return check


# in this order, so that a wrong type is said before what follows from it
_COMPILERS: dict[str, _Compiler] = {
    "type": _type,
    "enum": _enum,
    "minItems": _size("minItems", list, operator.ge),
    "maxItems": _size("maxItems", list, operator.le),
    "minLength": _size("minLength", str, operator.ge),
    "maxLength": _size("maxLength", str, operator.le),
    "items": _items,
    "uniqueItems": _unique,
    "required": _required,
    "additionalProperties": _additional,
    "properties": _properties,
}


def _at(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_no_constant).decode


def _dump_utf8(value: Any) -> None:
    """ValueError (of which UnicodeEncodeError is one) where a text holds half a character."""
    json.dumps(value, ensure_ascii=False).encode()


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:60] + "..." + shown[-15:]
