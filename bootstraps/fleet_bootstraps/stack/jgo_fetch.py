"""Fetches libraries with the package jgo: a program of its own, since jgo leaves sockets open.

It takes the folder as its argument and `group:artifact:version[:classifier]` lines as its input;
files get the names that Maven gives them. jgo keeps its own copies in Maven's cache.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_ONCE = 8


def jar_name(coordinate: str) -> str:
    """What Maven calls the file: `artifact-version[-classifier].jar`."""
    return f"{'-'.join(coordinate.split(':')[1:])}.jar"


def main() -> None:
    """Fetch them all; the first that cannot be had ends it with its error."""
    from jgo.maven import MavenContext  # noqa: PLC0415 -- of no use to whoever only wants names

    folder, context = Path(sys.argv[1]), MavenContext()
    folder.mkdir(parents=True)

    def fetch(coordinate: str) -> None:
        group, artifact, version, *classifier = coordinate.split(":")
        component = context.project(group, artifact).at_version(version)
        kept = component.artifact(classifier=classifier[0] if classifier else "").resolve()
        shutil.copyfile(kept, folder / jar_name(coordinate))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fetch, sys.stdin.read().split()))


if __name__ == "__main__":
    main()
