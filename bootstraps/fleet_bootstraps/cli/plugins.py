"""`fleet plugins`: the adapters of this environment, and the start of a new one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, table
from fleet_plugins.registry import Registry
from fleet_plugins.scaffold import new_plugin


def list_plugins(*, load: bool, as_json: bool) -> Exit:
    """Every adapter; with `load`, what each says of itself, or why it is broken."""
    found = Registry.discovered().listing(load=load)
    if as_json:
        emit([asdict(one) for one in found])
        return Exit.DONE
    head = ["port", "name", "status", "distribution", "version"]
    rows = [[one.port, one.name, one.status, one.distribution, one.version] for one in found]
    if load:
        head += ["capabilities", "summary"]
        for row, one in zip(rows, found, strict=True):
            row += [", ".join(one.capabilities), one.summary]
    table(head, rows)
    for one in found:
        if one.reason:
            line(f"{one.port}.{one.name}: {one.reason}")
    return Exit.DONE


def new(name: str, port: str, folder: Path, *, as_json: bool) -> Exit:
    """Write the start of an adapter's distribution."""
    written = new_plugin(name, port, folder)
    if as_json:
        emit([str(path) for path in written])
        return Exit.DONE
    for path in written:
        line(str(path))
    root = written[0].parent
    line(f"next: pip install -e {root} && pytest {root}")
    return Exit.DONE
