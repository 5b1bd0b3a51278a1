"""Instances of a JSON schema, made up from a rule; enough for the schemas that agents use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Say = Callable[[str], str]
"""From a field's dotted path to the text that fills it."""


def conforming(
    schema: Mapping[str, Any],
    say: Say,
    *,
    order: Callable[[Sequence[str]], list[str]] = list,
    at: str = "",
) -> Any:
    """A value of the schema.

    Args:
        schema: of what is made.
        say: what texts are filled with.
        order: puts the labels of a `ranking` in order.
        at: the path so far.
    """
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        properties = schema.get("properties", {})
        names = schema.get("required", properties)
        return {
            name: conforming(
                properties.get(name, {"type": "string"}),
                say,
                order=order,
                at=f"{at}.{name}" if at else name,
            )
            for name in names
        }
    if kind == "array":
        return _array(schema, say, order, at)
    if kind == "string":
        return say(at)[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return False if kind == "boolean" else None


def _array(
    schema: Mapping[str, Any], say: Say, order: Callable[[Sequence[str]], list[str]], at: str
) -> list[Any]:
    items = schema.get("items", {"type": "string"})
    if "enum" in items and at.rpartition(".")[2] == "ranking":
        return order(items["enum"])
    labels = items.get("properties", {}).get("label", {}).get("enum")
    if labels:  # one for each of the things that can be named
        return [
            {**conforming(items, say, order=order, at=f"{at}.{label}"), "label": label}
            for label in labels
        ]
    return [
        conforming(items, say, order=order, at=f"{at}.{index}")
        for index in range(schema.get("minItems", 0))
    ]
