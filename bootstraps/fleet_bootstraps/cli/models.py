"""`fleet models`: brings model files into FLEET_HOME/models."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import typer

from fleet_adapters.llamacpp.default_model import ensure_default_model
from fleet_adapters.llamacpp.hub import pull as pull_from_hub
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line
from fleet_bootstraps.cli.session import folder
from fleet_core.errors import InputError

_EVERY_S = 0.2


class _Progress:
    """Bytes done, on one line of stderr that is written again; nothing where nobody looks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = sys.stderr.isatty()
        self._at = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._shown or (now - self._at < _EVERY_S and done < total):
            return
        self._at = now
        of = f" of {total / 1e6:.1f} MB, {100 * done // total} %" if total else " MB"
        typer.echo(f"\r{self._name}: {done / 1e6:.1f}{of} ", nl=False, err=True)

    def end(self) -> None:
        if self._shown and self._at:
            typer.echo(err=True)


async def pull(name: str, home: Path | None, endpoint: str | None, *, as_json: bool) -> Exit:
    """Fetch `OWNER/NAME/FILE` from a hub."""
    parts = name.split("/", 2)
    if len(parts) < 3:
        raise InputError(f"{name!r} is no file of a repository", "write OWNER/NAME/FILE")
    progress = _Progress(parts[2])
    repo = "/".join(parts[:2])
    try:
        path = await pull_from_hub(repo, parts[2], _models(home), progress, endpoint=endpoint)
    finally:
        progress.end()
    return _fetched(path, as_json=as_json)


async def fetch(home: Path | None, *, as_json: bool) -> Exit:
    """Fetch the default model; one that is there already stays."""
    progress = _Progress("default model")
    try:
        path = await ensure_default_model(_models(home), progress)
    finally:
        progress.end()
    return _fetched(path, as_json=as_json)


def _models(home: Path | None) -> Path:
    models = folder(home) / "models"
    models.mkdir(parents=True, exist_ok=True)
    return models


def _fetched(path: Path, *, as_json: bool) -> Exit:
    if as_json:
        emit({"path": str(path), "bytes": path.stat().st_size})
    else:
        line(str(path))
        line(f"to use it: --set model.use=llamacpp --set model.gguf={path}")
    return Exit.DONE
