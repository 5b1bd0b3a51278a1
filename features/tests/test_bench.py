"""A figure is worth what its floor is worth, and says so by its exit code."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import fleet_features.bench
from fleet_features.bench.figures import Figure, report

BENCH = Path(fleet_features.bench.__file__).parent


@pytest.mark.parametrize("name", ["overhead_floor.py", "stub_server.py"])
def test_the_floor_and_its_server_import_nothing_of_ours(name: str) -> None:
    tree = ast.parse((BENCH / name).read_text(encoding="utf-8"))
    imported = {
        alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
    }
    imported |= {n.module or "." for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}

    assert not [module for module in imported if module.startswith((".", "fleet_"))]


@pytest.mark.parametrize(
    ("better", "bar", "holds"),
    [("higher", 0.5, True), ("higher", 0.7, False), ("lower", 0.7, True), ("lower", 0.5, False)],
)
def test_a_bar_that_does_not_hold_is_an_exit_code(
    better: str, bar: float, holds: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = Figure("ratio", (0.9, 0.6, 0.1), "ratio", better, bar)

    assert report("overhead", 3, [figure]) == (0 if holds else 1)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["figures"][0]["value"] == 0.6
    assert last["figures"][0]["holds"] is holds
