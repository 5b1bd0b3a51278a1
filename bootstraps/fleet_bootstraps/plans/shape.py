"""Nodes to a plan. Every problem of shape is found; the first in file order is reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from fleet_adapters.sandbox.spec import SPECS, SpecError
from fleet_bootstraps.plans.document import join, refusal
from fleet_bootstraps.plans.node import Entries, Items, Mark, Node, Scalar, mark_of, plain, spoken
from fleet_core.domain.plan import CheckSpec, Plan, Task, validated
from fleet_core.errors import PlanError

PLAN_KEYS = ("story", "title", "description", "tasks")
TASK_KEYS = (
    "id",
    "title",
    "role",
    "description",
    "acceptance",
    "constraints",
    "depends_on",
    "checks",
    "protocol",
    "phase",
)
_NO_NODES: Mapping[str, Node] = {}


def plan_of(root: Node, *, roles: Collection[str], source: str) -> Plan:
    """The plan that a document describes.

    Raises:
        PlanError: names file, line and field of the first problem.
    """
    shape = _Shape(source)
    plan = shape.plan(root)
    shape.refuse_first()
    try:
        return validated(plan, roles=roles, source=source)
    except PlanError as error:
        mark = mark_of(root, error.field)
        raise refusal(source, mark, error.field, error.message, error.hint) from None


class _Shape:
    """Reads a plan leniently and notes what is wrong with it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._problems: list[tuple[Mark, str, str, str]] = []

    def refuse_first(self) -> None:
        if not self._problems:
            return
        first = min(self._problems, key=lambda p: (p[0].line, p[0].column))
        raise refusal(self._source, *first)

    def plan(self, root: Node) -> Plan:
        nodes = self._mapping(root, "", PLAN_KEYS, ("story", "tasks"))
        story = self._text(nodes, "story", "")
        title = self._text(nodes, "title", "") if "title" in nodes else story
        tasks = self._list(nodes, "tasks", "", "a list of tasks")
        if "tasks" in nodes and isinstance(nodes["tasks"], Items) and not tasks:
            self._note(nodes["tasks"].mark, "tasks", "the plan is empty", "list at least one task")
        return Plan(
            story=story,
            title=title,
            description=self._text(nodes, "description", "", blank=True),
            tasks=tuple(self._task(node, f"tasks[{i}]") for i, node in enumerate(tasks)),
        )

    def _task(self, node: Node, at: str) -> Task:
        nodes = self._mapping(node, at, TASK_KEYS, ("id", "title", "role"))
        checks = self._list(nodes, "checks", at, "a list of checks")
        return Task(
            task_id=self._text(nodes, "id", at),
            title=self._text(nodes, "title", at),
            role=self._text(nodes, "role", at),
            description=self._text(nodes, "description", at, blank=True),
            acceptance=self._texts(nodes, "acceptance", at),
            constraints=self._texts(nodes, "constraints", at),
            depends_on=self._dependencies(nodes, at),
            checks=tuple(self._check(c, f"{at}.checks[{i}]") for i, c in enumerate(checks)),
            protocol=self._text(nodes, "protocol", at),
            phase=self._text(nodes, "phase", at),
        )

    def _check(self, node: Node, at: str) -> CheckSpec:
        nodes = self._mapping(node, at, None, ("kind",))
        required = nodes.get("required", Scalar(value=False, mark=Mark()))
        if not isinstance(required, Scalar) or not isinstance(required.value, bool):
            self._wrong(required, join(at, "required"), "true or false")
        kind = self._text(nodes, "kind", at)
        spec = {key: plain(n) for key, n in nodes.items() if key not in ("kind", "required")}
        if kind in SPECS:
            self._spec(node, at, kind, spec)
        must = isinstance(required, Scalar) and required.value is True
        return CheckSpec(kind=kind, required=must, spec=spec)

    def _spec(self, node: Node, at: str, kind: str, spec: Mapping[str, Any]) -> None:
        """What the check itself would refuse, said before anything is paid for."""
        try:
            SPECS[kind](spec)
        except SpecError as error:
            mark = mark_of(node, error.field)
            self._note(mark, f"{at}.{error.field}", error.message, error.hint)

    def _dependencies(self, nodes: Mapping[str, Node], at: str) -> tuple[str, ...]:
        found = self._texts(nodes, "depends_on", at)
        for i, name in enumerate(found):
            if name in found[:i]:
                mark = mark_of(nodes["depends_on"], f"[{i}]")
                self._note(mark, f"{at}.depends_on", f"{name!r} is named twice", "keep one")
        return found

    def _mapping(
        self, node: Node, at: str, known: tuple[str, ...] | None, required: tuple[str, ...]
    ) -> Mapping[str, Node]:
        if not isinstance(node, Entries):
            self._wrong(node, at, "a mapping")
            return _NO_NODES
        for key, mark in node.keys.items():
            if known is not None and key not in known:
                close = get_close_matches(key, known, n=2)
                hint = f"did you mean {' or '.join(close)}?" if close else ""
                hint = hint or f"known keys: {', '.join(known)}"
                self._note(mark, join(at, key), "unknown key", hint)
        for key in required:
            if key not in node.nodes:
                self._note(node.mark, join(at, key), "missing", f"add {key}")
        return node.nodes

    def _list(self, nodes: Mapping[str, Node], key: str, at: str, wanted: str) -> tuple[Node, ...]:
        node = nodes.get(key)
        if node is None:
            return ()
        if not isinstance(node, Items):
            hint = f"write {key}: [...]" if isinstance(node, Scalar) else "begin each with - "
            self._wrong(node, join(at, key), wanted, hint)
            return ()
        return node.nodes

    def _texts(self, nodes: Mapping[str, Node], key: str, at: str) -> tuple[str, ...]:
        found = self._list(nodes, key, at, "a list of text")
        return tuple(self._as_text(n, f"{join(at, key)}[{i}]") for i, n in enumerate(found))

    def _text(self, nodes: Mapping[str, Node], key: str, at: str, *, blank: bool = False) -> str:
        node = nodes.get(key)
        return "" if node is None else self._as_text(node, join(at, key), blank=blank)

    def _as_text(self, node: Node, at: str, *, blank: bool = False) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            quotable = isinstance(node, Scalar) and node.value is not None
            self._wrong(node, at, "text", "put it in quotes" if quotable else "")
            return ""
        if not blank and not node.value.strip():
            self._note(node.mark, at, "is blank", "write something, or leave the key out")
        return node.value

    def _wrong(self, node: Node, at: str, wanted: str, hint: str = "") -> None:
        self._note(node.mark, at, f"should be {wanted}, is {spoken(node)}", hint)

    def _note(self, mark: Mark, field: str, message: str, hint: str) -> None:
        self._problems.append((mark, field, message, hint))
