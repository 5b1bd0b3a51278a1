"""What commands print: JSON, or tables of plain text. Everything is made safe for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from fleet_bootstraps.report.text import one_line, printable


def emit(data: Any) -> None:
    """Data as JSON on stdout; ASCII, so that no control character gets through."""
    typer.echo(json.dumps(data, indent=2))


def line(text: str = "") -> None:
    """A line on stdout."""
    typer.echo(one_line(text))


def block(text: str) -> None:
    """Several lines on stdout."""
    typer.echo(printable(text))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = 60) -> None:
    """Rows in columns; numbers to the right, cells longer than `limit` shortened."""
    cells = [[one_line(str(c), limit) for c in row] for row in rows]
    numeric = [all(_is_number(row[i]) for row in cells) and bool(cells) for i in range(len(head))]
    widths = [max(len(h), *(len(r[i]) for r in cells), 0) for i, h in enumerate(head)]
    for row in [[h.upper() for h in head], *cells]:
        out = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        typer.echo("  ".join(out).rstrip())


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace(",", "").isdigit()
