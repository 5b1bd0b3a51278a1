"""What a benchmark prints: a table for people, and one last line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        values: one for each round, in the order they were taken.
        unit: `ratio`, `ms`, `MiB`, `1/s` ...
        better: `higher` or `lower`.
        bar: what the median must reach; None for a figure that is only shown.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    better: str
    bar: float | None = None

    @property
    def value(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        """Whether the median reaches the bar; true where there is none."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.better == "higher" else self.value <= self.bar


def report(bench: str, rounds: int, figures: Sequence[Figure]) -> int:
    """Print the table and the line; the exit code is 1 where a bar does not hold."""
    width = max(len(f.name) for f in figures)
    for figure in figures:
        low, high = min(figure.values), max(figure.values)
        bar = ""
        if figure.bar is not None:
            sign = ">=" if figure.better == "higher" else "<="
            bar = f"  bar {sign} {figure.bar:g}: {'holds' if figure.holds else 'DOES NOT HOLD'}"
        spread = f"{figure.value:10.3f} [{low:.3f} .. {high:.3f}] {figure.unit}"
        sys.stdout.write(f"{figure.name:<{width}}  {spread}{bar}\n")
    data = [
        {
            "name": f.name,
            "value": round(f.value, 4),
            "min": round(min(f.values), 4),
            "max": round(max(f.values), 4),
            "unit": f.unit,
            "better": f.better,
            "bar": f.bar,
            "holds": f.holds,
        }
        for f in figures
    ]
    sys.stdout.write(json.dumps({"bench": bench, "rounds": rounds, "figures": data}) + "\n")
    return 0 if all(f.holds for f in figures) else 1
