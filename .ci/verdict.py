"""Reads pytest's JUnit reports; no test may be skipped but for a reason that is allowed.

A skipped test of a real server or tool is a promise nobody checked, so it fails a CI run.
usage: verdict.py [--allow REGEX]... REPORT...
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET


def skips(report: Path) -> Iterator[tuple[str, str]]:
    """Each skipped test with its reason; an expected failure is none."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 -- pytest wrote it just now
        for skipped in case.iter("skipped"):
            if skipped.get("type") != "pytest.xfail":
                yield f"{case.get('classname')}::{case.get('name')}", skipped.get("message", "")


def complaints(report: Path, allowed: Sequence[str]) -> list[str]:
    """What the report holds against a green run."""
    if not report.exists():
        return [f"{report}: not written; did pytest run?"]
    if next(ET.parse(report).iter("testcase"), None) is None:  # noqa: S314 -- as above
        return [f"{report}: no test ran"]
    return [
        f"skipped: {test}: {reason}"
        for test, reason in skips(report)
        if not any(re.search(pattern, reason) for pattern in allowed)
    ]


def main() -> int:
    """Print the complaints; 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--allow", action="append", default=[], metavar="REGEX")
    parser.add_argument("reports", nargs="+", type=Path)
    given = parser.parse_args()
    found = [line for report in given.reports for line in complaints(report, given.allow)]
    for line in found:
        print(line, file=sys.stderr)  # noqa: T201 -- a command
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
