"""The README's table of metrics is made from the metrics."""

from __future__ import annotations

import re
from pathlib import Path

from fleet_bootstraps.telemetry.meters import Meters

README = Path(__file__).parents[2] / "README.md"


def rows() -> list[str]:
    found = []
    meters = Meters("both", executes=True, deliberates=True)
    for family in meters.registry.collect():
        if family.name.startswith("fleet_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in meters.labels[family.name])
            found.append(f"| `{name}` | {labels} | {family.documentation} |")
    return sorted(found)


def test_every_metric_is_told_with_its_labels_and_meaning() -> None:
    written = re.findall(r"^\| `fleet_.*$", README.read_text(), re.MULTILINE)
    assert sorted(written) == rows(), "put these rows into the README:\n" + "\n".join(rows())
