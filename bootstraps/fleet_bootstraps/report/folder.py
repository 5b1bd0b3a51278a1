"""The folder of a run's report: FLEET_HOME/runs/<plan>-<attempt>/."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet_bootstraps.report.markdown import markdown
from fleet_core.errors import StoreError

_PLAN_DIGITS = 12


def run_folder(home: Path, plan_id: str, attempt: int) -> Path:
    """Where the report of that attempt is; `<plan>` is the id's first 12 hex digits."""
    return home / "runs" / f"{plan_id[:_PLAN_DIGITS]}-{attempt}"


def write(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write `report.json` and `report.md`, each whole or not at all; the path of the latter.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "report.json", json.dumps(report, indent=2) + "\n")
        _replace(folder / "report.md", markdown(report))
    except OSError as error:
        raise StoreError(
            f"the report cannot be written to {folder}: {error.strerror}", "make room or rights"
        ) from None
    return folder / "report.md"


def _replace(target: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_all(home: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every report kept, by folder name; a folder whose report is not JSON is left out."""
    for path in sorted((home / "runs").glob("*/report.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(data, dict):
            yield path.parent, data


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a run while working on it; yields whether another process holds it too.

    The kernel lets go of it when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shared = False
        except BlockingIOError:
            shared = True
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield shared
    finally:
        os.close(handle)
