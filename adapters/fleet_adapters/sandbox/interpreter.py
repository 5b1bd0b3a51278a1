"""Which Python runs inside, and what of the system it must see."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path

from fleet_core.errors import CheckRefused

_ASK_SECONDS = 10
# sys.base_prefix holds the standard library also where the interpreter is that of a venv.
_ASK = """
import json, os, sys, sysconfig
base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix, "installed_base":
        sys.base_prefix, "installed_platbase": sys.base_exec_prefix}
paths = sysconfig.get_paths(vars=base)
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    "prefixes": [sys.base_prefix, sys.base_exec_prefix],
    "library": paths["stdlib"],
    "packages": [paths["purelib"], paths["platlib"]],
    "version": list(sys.version_info[:2]),
}))
"""
OLDEST = (3, 11)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter by its real path, the folders it needs, and those that are hidden."""

    executable: str
    folders: tuple[str, ...]
    hidden: tuple[str, ...]


async def find_interpreter(python: str) -> Interpreter:
    """Ask an interpreter where it lives.

    Raises:
        CheckRefused: there is none, it does not answer, or it is too old.
    """
    hint = "set check.python to a Python 3.11 or newer"
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-I", "-c", _ASK, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise CheckRefused(f"{python} does not start: {error.strerror}", hint) from None
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise CheckRefused(f"{python} does not answer", hint) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        told = json.loads(out)
        version = tuple(told["version"])
    except (ValueError, KeyError, TypeError):
        said = err.decode("utf-8", "replace").strip()[-200:]
        raise CheckRefused(f"{python} is not a usable Python: {said}", hint) from None
    if version < OLDEST:
        raise CheckRefused(f"{python} is Python {'.'.join(map(str, version))}", hint)
    return _layout(told["executable"], told["prefixes"], told["library"], told["packages"])


def _layout(executable: str, prefixes: list[str], library: str, packages: list[str]) -> Interpreter:
    needed = {os.path.realpath(p) for p in (*prefixes, library)}
    needed.add(str(Path(executable).parent))
    outside = sorted(p for p in needed if not _within(p, "/usr"))
    folders = tuple(p for p in outside if not any(_within(p, o) for o in outside if o != p))
    if any(p == "/" for p in folders):
        raise CheckRefused(f"{executable} has the whole system as its prefix", "set check.python")
    version = Path(library).name
    debian = ("/usr/lib/python3/dist-packages", f"/usr/local/lib/{version}/dist-packages")
    hidden = {os.path.realpath(p) for p in (*packages, *debian)}
    return Interpreter(executable, folders, tuple(sorted(p for p in hidden if Path(p).is_dir())))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
