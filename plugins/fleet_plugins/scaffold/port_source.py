"""Reads a port's protocol as source, to write a class that keeps to it."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_INDENT = " " * 8
_DOCSTRING = 100 - len(_INDENT) - 6


@dataclass(frozen=True, slots=True)
class Delegate:
    """Source of a class's body that hands every call of a port to `self._inner`.

    Attributes:
        imports: the import statements its annotations need, sorted.
        methods: the methods, indented.
    """

    imports: str
    methods: str


def delegate(protocol: type[Any]) -> Delegate:
    """Write every promised method of a protocol, its own first, then those it inherits."""
    methods: list[str] = []
    used = {protocol.__name__}
    origin: dict[str, str] = {}
    for part in protocol.__mro__:
        if not _promises(part):
            continue
        source = inspect.getsource(sys.modules[part.__module__])
        module = ast.parse(source)
        origin |= _origins(module, part.__module__)
        for method in _methods(module, part.__name__):
            used.update(_names(method))
            methods.append(_method(method, source.splitlines()))
    return Delegate(_imports(origin, used), "\n\n".join(methods))


def _promises(part: type[Any]) -> bool:
    return any(getattr(member, "__isabstractmethod__", False) for member in vars(part).values())


def _methods(module: ast.Module, name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    (body,) = (
        node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    return [
        node
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list
    ]


def _names(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    arguments = [*method.args.args, *method.args.kwonlyargs]
    parts = [argument.annotation for argument in arguments]
    parts += [method.returns, *method.args.defaults, *method.args.kw_defaults]
    for part in parts:
        for node in ast.walk(part) if part else ():
            if isinstance(node, ast.Name):
                yield node.id


def _origins(module: ast.Module, own_name: str) -> dict[str, str]:
    """Where each name that a module uses comes from."""
    origin: dict[str, str] = {}
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            origin |= {alias.name: node.module for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            origin[node.name] = own_name
        elif isinstance(node, ast.Assign):
            origin |= {t.id: own_name for t in node.targets if isinstance(t, ast.Name)}
    return origin


def _imports(origin: Mapping[str, str], used: set[str]) -> str:
    wanted: dict[str, list[str]] = {}
    for name in sorted(used & set(origin)):
        wanted.setdefault(origin[name], []).append(name)
    lines = [f"from {source} import {', '.join(names)}" for source, names in wanted.items()]
    ours = sorted(line for line in lines if line.startswith("from fleet_"))
    standard = sorted(set(lines) - set(ours))
    return "\n\n".join("\n".join(group) for group in (standard, ours) if group)


def _method(method: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> str:
    head = "\n".join(source[method.lineno - 1 : method.body[0].lineno - 1])
    passed = [argument.arg for argument in method.args.args[1:]]
    passed += [f"{argument.arg}={argument.arg}" for argument in method.args.kwonlyargs]
    call = f"self._inner.{method.name}({', '.join(passed)})"
    if isinstance(method, ast.AsyncFunctionDef):
        call = f"await {call}"
    if method.returns and ast.unparse(method.returns) != "None":
        call = f"return {call}"
    said = (ast.get_docstring(method) or "").partition("\n")[0]
    if len(said) > _DOCSTRING:
        said = said.partition("; ")[0].rstrip(".") + "."
    return f'{head}\n{_INDENT}"""{said}"""\n{_INDENT}{call}'
