"""What commands print: JSON, or tables of plain text. Everything is made safe for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import typer

from fleet_bootstraps.report.text import one_line, printable
from fleet_core.errors import InputError


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


@contextmanager
def written(out: str) -> Iterator[TextIO]:
    """A new file, whole or not at all; or stdout."""
    if out == "-":
        yield sys.stdout
        return
    path, part = Path(out), Path(f"{out}.part")
    try:
        with part.open("w", encoding="ascii") as to:
            yield to
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", "name another file", source=out
        ) from None
    finally:
        part.unlink(missing_ok=True)
    typer.echo(f"fleet: written to {one_line(out)}", err=True)
