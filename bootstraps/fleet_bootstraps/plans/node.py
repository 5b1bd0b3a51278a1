"""A parsed document that remembers where each part of it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, both from 1; line 0 where it is not known."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a number, true, false or null."""

    value: str | int | float | bool | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping, in file order; `keys` has the place of each key."""

    nodes: dict[str, Node]
    keys: dict[str, Mark]
    mark: Mark


Node = Scalar | Items | Entries


def plain(node: Node) -> Any:
    """The JSON data of a node."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.nodes]
        case Entries():
            return {key: plain(item) for key, item in node.nodes.items()}


_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[]+)")


def mark_of(node: Node, path: str) -> Mark:
    """The place of a dotted path such as `tasks[1].depends_on`, or of the nearest part above it."""
    mark = node.mark
    for index, key in _STEP.findall(path):
        if index and isinstance(node, Items) and int(index) < len(node.nodes):
            node = node.nodes[int(index)]
            mark = node.mark
        elif key and isinstance(node, Entries) and key in node.nodes:
            mark, node = node.keys[key], node.nodes[key]
        else:
            break
    return mark


def spoken(node: Node) -> str:
    """A node in a message."""
    match node:
        case Items():
            return "a list"
        case Entries():
            return "a mapping"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool() as value):
            return "true" if value else "false"
    shown = repr(node.value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
