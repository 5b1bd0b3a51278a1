"""Bytes to nodes: a small, safe part of YAML, and JSON.

Refused, because plans come from strangers or because readers of YAML disagree on it: anchors and
aliases (a few lines of them unfold to gigabytes), tags, several documents, repeated keys, keys
that are no text, deep nesting, and the unquoted words yes, no, on and off. Numbers and booleans
are those of YAML 1.2; dates stay text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from fleet_bootstraps.plans.node import Entries, Items, Mark, Node, Scalar
from fleet_core.domain.plan import MAX_PLAN_BYTES
from fleet_core.errors import PlanError

MAX_DEPTH = 64
MAX_DIGITS = 300
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the parser in C where PyYAML has it
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_AMBIGUOUS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_CONSTANTS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True)
_CONSTANTS |= dict.fromkeys(("false", "False", "FALSE"), False)


def refusal(
    source: str, mark: Mark, field: str, message: str, hint: str = "", *, column: bool = False
) -> PlanError:
    """The error that names file, line and field; the column too where it helps."""
    where = source
    if mark.line:
        where += f":{mark.line}" + (f":{mark.column}" if column else "")
    return PlanError(message, hint, source=where, field=field)


def read_document(raw: bytes, source: str) -> Node:
    """The document's root.

    Raises:
        PlanError: too large, not UTF-8, not YAML, or YAML of a refused kind.
    """
    if len(raw) > MAX_PLAN_BYTES:
        raise too_large(source, len(raw))
    try:
        text = raw.decode("utf-8").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    except UnicodeDecodeError as error:
        raise PlanError(
            f"byte {error.start} is not UTF-8", "save the file as UTF-8", source=source
        ) from None
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            pass  # a YAML flow mapping, or no document at all: YAML's message has line and column
        else:
            return _from_json(data, source, "", 0)
    return _Reader(text, source).document()


def too_large(source: str, size: int) -> PlanError:
    """The refusal of a plan over the limit."""
    return PlanError(
        f"has {size} bytes, over the limit of {MAX_PLAN_BYTES}",
        "split the plan",
        source=source,
    )


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, repeated keys and all."""


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _from_json(data: Any, source: str, at: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _too_deep(source, Mark(), at)
    if isinstance(data, _Pairs):
        nodes: dict[str, Node] = {}
        for key, item in data:
            field = join(at, key)
            _check_text(key, source, Mark(), at)
            if key in nodes:
                raise refusal(source, Mark(), field, "is given twice", "keep one of them")
            nodes[key] = _from_json(item, source, field, depth + 1)
        return Entries(nodes, dict.fromkeys(nodes, Mark()), Mark())
    if isinstance(data, list):
        items = (_from_json(x, source, f"{at}[{i}]", depth + 1) for i, x in enumerate(data))
        return Items(tuple(items), Mark())
    if isinstance(data, str):
        _check_text(data, source, Mark(), at)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        _check_number(data, source, Mark(), at)
    return Scalar(data, Mark())


class _Reader:
    """Builds nodes from YAML's events, so that nothing unfolds and every part has its place."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._text = text
        self._events = self._parse()

    def document(self) -> Node:
        event = next(self._events)
        while not isinstance(event, yaml.DocumentStartEvent):
            if isinstance(event, yaml.StreamEndEvent):
                raise PlanError("the file is empty", "write a plan", source=self._source)
            event = next(self._events)
        root = self._node(next(self._events), "", 0)
        next(self._events)
        if isinstance(event := next(self._events), yaml.DocumentStartEvent):
            hint = "keep one plan in a file"
            raise refusal(self._source, _mark(event), "", "a second document starts here", hint)
        return root

    def _parse(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            at = error.problem_mark or error.context_mark
            mark = Mark(at.line + 1, at.column + 1) if at else Mark()
            said = error.problem or error.context or "cannot be read"
            raise self._no_yaml(mark, said) from None
        except yaml.reader.ReaderError as error:
            position = error.position if isinstance(error.position, int) else 0
            before = self._text.encode()[:position].decode("utf-8", "ignore")
            mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
            raise self._no_yaml(mark, str(error.reason)) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self._no_yaml(Mark(), str(error)[:200]) from None

    def _no_yaml(self, mark: Mark, said: str) -> PlanError:
        said = " ".join(said.split())
        return refusal(
            self._source, mark, "", f"is not YAML: {said}", "correct the syntax there", column=True
        )

    def _refuse(self, event: Any, at: str, message: str, hint: str) -> PlanError:
        return refusal(self._source, _mark(event), at, message, hint)

    def _node(self, event: Any, at: str, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._refuse(event, at, "uses an anchor or alias", "write the text out")
        if event.tag is not None and event.tag != "!":
            raise self._refuse(event, at, f"uses the tag {event.tag[:60]!r}", "leave the tag out")
        if depth > MAX_DEPTH:
            raise _too_deep(self._source, _mark(event), at)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(self._scalar(event, at), _mark(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(event, at, depth)
        return self._entries(event, at, depth)

    def _items(self, start: Any, at: str, depth: int) -> Node:
        nodes: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            nodes.append(self._node(event, f"{at}[{len(nodes)}]", depth + 1))
        return Items(tuple(nodes), _mark(start))

    def _entries(self, start: Any, at: str, depth: int) -> Node:
        nodes: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, at, depth + 1)
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                raise self._refuse(event, at, "a key is not text", "put the key in quotes")
            field = join(at, key.value)
            if key.value in nodes:
                first = keys[key.value].line
                hint = "keep one of them"
                raise self._refuse(event, field, f"is given twice, first on line {first}", hint)
            keys[key.value] = key.mark
            nodes[key.value] = self._node(next(self._events), field, depth + 1)
        return Entries(nodes, keys, _mark(start))

    def _scalar(self, event: Any, at: str) -> str | int | float | bool | None:
        text, mark = str(event.value), _mark(event)
        _check_text(text, self._source, mark, at)
        if not event.implicit[0]:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if (meant := _AMBIGUOUS.get(text.lower())) is not None:
            hint = f'write {meant}, or "{text}" for the text'
            raise self._refuse(event, at, f"{text} is text to some and {meant} to others", hint)
        if _NO_NUMBER.fullmatch(text):
            raise self._refuse(event, at, f"{text} is no number", "put text in quotes")
        if len(text) > MAX_DIGITS and (_INT.fullmatch(text) or _FLOAT.fullmatch(text)):
            raise self._refuse(event, at, "the number is too long", "put text in quotes")
        if _INT.fullmatch(text):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text, base)
        if _FLOAT.fullmatch(text):
            number = float(text)
            _check_number(number, self._source, mark, at)
            return number
        return text


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _too_deep(source: str, mark: Mark, at: str) -> PlanError:
    field = at if len(at) <= 80 else at[:77] + "..."
    return refusal(source, mark, field, "nests too deeply", f"at most {MAX_DEPTH} levels")


def _check_text(text: str, source: str, mark: Mark, at: str) -> None:
    if found := _NO_TEXT.search(text):
        message = f"holds the character U+{ord(found[0]):04X}, which is no text"
        raise refusal(source, mark, at, message, "leave it out")


def _check_number(number: float, source: str, mark: Mark, at: str) -> None:
    large = len(f"{number:x}") > MAX_DIGITS if isinstance(number, int) else math.isinf(number)
    if large:
        raise refusal(source, mark, at, "the number is too large", "put text in quotes")


def join(at: str, key: str) -> str:
    """The dotted path of a key; a long one shortened, what a terminal would obey escaped."""
    key = key if key.isprintable() else repr(key)[1:-1]
    key = key if len(key) <= 60 else key[:57] + "..."
    return f"{at}.{key}" if at else key
