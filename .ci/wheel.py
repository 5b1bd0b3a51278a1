"""Compares a wheel with the working tree: every tracked file of the packages, and nothing else.

usage: wheel.py WHEEL
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "plugins", "adapters", "bootstraps", "features")
ALONGSIDE = {"deploy/neo4j": "fleet_bootstraps/stack/neo4j_server"}
METADATA = ("METADATA", "entry_points.txt", "licenses/LICENSE", "RECORD", "WHEEL")


def expected() -> set[str]:
    """The files of the five packages under the paths they are imported by, and those alongside."""
    packages = {path.partition("/")[2] for path in tracked(*(f"{p}/fleet_{p}" for p in PACKAGES))}
    alongside = {
        path.replace(folder, inside, 1)
        for folder, inside in ALONGSIDE.items()
        for path in tracked(folder)
    }
    return packages | alongside


def tracked(*folders: str) -> list[str]:
    """The files of those folders that are in the repository."""
    command = ["git", "ls-files", "-z", *folders]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 -- a fixed command
    return [path for path in listed.stdout.split("\0") if path]


def complaints(wheel: Path) -> list[str]:
    """What the wheel lacks or has too much."""
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    wanted = expected()
    found = [f"wheel lacks {name}" for name in sorted(wanted - names)]
    found += [f"wheel has stray {name}" for name in sorted(names - metadata - wanted)]
    ends = {name.partition(".dist-info/")[2] for name in metadata}
    found += [f"wheel's metadata lacks {name}" for name in METADATA if name not in ends]
    found += [
        f"wheel has no fleet_{package}/py.typed"
        for package in PACKAGES
        if f"fleet_{package}/py.typed" not in names
    ]
    return found


def main() -> int:
    """Print the complaints; 1 where there are any."""
    found = complaints(Path(sys.argv[1]))
    for line in found:
        print(line, file=sys.stderr)  # noqa: T201 -- a command
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
