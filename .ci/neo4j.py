"""Writes deploy/neo4j/libraries.lock: what Maven resolves the pom beside it to, with checksums.

Wants Maven, and takes what it fetches for granted; run it when the pom has changed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POM = ROOT / "deploy/neo4j/pom.xml"
LOCK = POM.with_name("libraries.lock")
HEADER = (
    "# Written by `make neo4j-lock` from pom.xml: SHA-256 group:artifact:version[:classifier]\n"
)


def maven(*words: str) -> None:
    """Run Maven on the pom."""
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), *words]
    subprocess.run(command, check=True)  # noqa: S603 -- a fixed command


def coordinates(listed: str) -> Iterator[tuple[str, str]]:
    """The coordinate and the file name of each library that Maven lists."""
    for line in listed.splitlines():
        words = line.split(" -- ")[0].strip().split(":")
        if len(words) < 5:  # a heading
            continue
        group, artifact, _, *classifier, version, _ = words
        yield (
            ":".join([group, artifact, version, *classifier]),
            f"{'-'.join([artifact, version, *classifier])}.jar",
        )


def main() -> int:
    """Write the lock; 1 where a listed library was not fetched."""
    with tempfile.TemporaryDirectory() as made:
        jars, listed = Path(made) / "jars", Path(made) / "list"
        maven("dependency:copy-dependencies", f"-DoutputDirectory={jars}")
        maven("dependency:list", f"-DoutputFile={listed}")
        named = dict(coordinates(listed.read_text()))
        there = {path.name for path in jars.iterdir()}
        if there != set(named.values()):
            print(*sorted(there ^ set(named.values())), sep="\n", file=sys.stderr)  # noqa: T201 -- a command
            return 1
        lines = [
            f"{hashlib.sha256((jars / name).read_bytes()).hexdigest()} {coordinate}\n"
            for coordinate, name in sorted(named.items())
        ]
    LOCK.write_text(HEADER + "".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
