"""One wheel from the user's package index, without its dependencies and without installing it.

pip does it, so that the user's own configuration (index, certificates, proxy) holds. An
environment without pip (as uv makes them) has the one that CPython bundles.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from fleet_core.errors import Unavailable

Progress = Callable[[int, int], None]
"""Bytes done, and bytes in all (0 where that is not known)."""

_LOOK_S = 0.2
_PIP = ("download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest")
_PIP_QUIET = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")


async def download_wheel(
    requirement: str, folder: Path, size: int, progress: Progress | None = None
) -> Path:
    """The wheel's path, somewhere below `folder`.

    Args:
        requirement: one package, pinned.
        folder: empty, ours alone, and on the disk where the file is to stay.
        size: about how large it is, in bytes.
        progress: called a few times a second.

    Raises:
        Unavailable: no tool, or it failed; with its own last words.
    """
    command = pip_command()
    if command is None:
        raise Unavailable(
            "this Python has no pip, not even the bundled one",
            f"install pip (python -m ensurepip), or {requirement} by hand",
        )
    dest = folder / "wheel"
    dest.mkdir()
    process = await asyncio.create_subprocess_exec(
        *command,
        *_PIP,
        str(dest),
        *_PIP_QUIET,
        requirement,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONSAFEPATH": "1"},
    )
    said = await _watched(process, folder, size, progress)
    wheels = list(dest.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise Unavailable(f"pip: {_reason(said)}", "connect this machine to its package index")
    return wheels[0]


def pip_command() -> tuple[str, ...] | None:
    """How to call a pip here: the environment's own, else the one bundled with CPython."""
    if find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    if find_spec("ensurepip") is not None:
        bundled = importlib.resources.files("ensurepip") / "_bundled"
        if bundled.is_dir():
            for entry in bundled.iterdir():
                if entry.name.startswith("pip-") and entry.name.endswith(".whl"):
                    return (sys.executable, str(Path(str(entry)) / "pip"))
    other = shutil.which("pip") or shutil.which("pip3")
    return (other,) if other else None


async def _watched(process: Process, folder: Path, size: int, progress: Progress | None) -> bytes:
    """Its standard error, once it has ended; cancelled, it is killed first."""
    if process.stderr is None:
        raise RuntimeError("the process was started without a pipe")
    reading = asyncio.ensure_future(process.stderr.read())
    try:
        while not reading.done():
            await asyncio.wait({reading}, timeout=_LOOK_S)
            if progress is not None:
                progress(min(_bytes_below(folder), size), size)
        await process.wait()
        return reading.result()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        reading.cancel()


def _bytes_below(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(f"{path}/{name}").st_size  # noqa: PTH116 -- no object a file
            except FileNotFoundError:  # pip moves it meanwhile
                continue
    return total


def _reason(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return ((errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: "))[:300]
