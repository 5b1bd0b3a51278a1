"""Writes requirements.lock, and says without the network whether it belongs to pyproject.toml.

The lock's first line holds a digest of everything in pyproject.toml that decides what it holds.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
MARK = "# Written by `make lock` from pyproject.toml, inputs "


def inputs_digest() -> str:
    """A digest of the requirements as pyproject.toml states them."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    stated = {
        "python": project["requires-python"],
        "dependencies": sorted(project["dependencies"]),
        "extras": project["optional-dependencies"],
        "groups": pyproject["dependency-groups"],
    }
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def write() -> None:
    """Resolve for every platform and supported Python, keeping pins that still fit."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "pyproject.toml"]
    command += ["--all-extras", "--group", "dev", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet"]
    command += ["--output-file", str(LOCK)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 -- a fixed command
    LOCK.write_text(f"{MARK}{inputs_digest()}\n{LOCK.read_text()}")


def complaints() -> list[str]:
    """What is wrong with the lock."""
    text = LOCK.read_text()
    found = []
    if text.splitlines()[0] != MARK + inputs_digest():
        found.append("requirements.lock is older than pyproject.toml; run: make lock")
    if "://" in text:
        found.append("requirements.lock holds an address; only names and hashes belong there")
    return found


def main() -> int:
    """Run `write` or `check`."""
    if sys.argv[1:] == ["write"]:
        write()
        return 0
    found = complaints()
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)  # noqa: T201 -- a command
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
