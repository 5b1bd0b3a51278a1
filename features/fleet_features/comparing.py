"""What a scenario came to, written down on one profile and compared with on another."""

from __future__ import annotations

import json
import re
from difflib import unified_diff
from pathlib import Path
from typing import Any

from fleet_features.canonical import canonical_log, shown
from fleet_features.observing import HOSTILE, ends_of, opened_log
from fleet_features.place import Kept

_OF_THE_RUN = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=within )\d+(?= ms)")


async def came_to(kept: Kept) -> dict[str, Any]:
    """The end of every task, and the event log in canonical form, as JSON data.

    Ports and measured times in what failures say are left out of it. Each task has its state,
    winner, standing, attempt and whether its decision is recorded.
    """
    tasks = {task: list(end) for task, end in sorted((await ends_of(kept.state)).items())}
    events = await opened_log(kept.bus, kept.blobs, but=HOSTILE)
    log = _OF_THE_RUN.sub("N", shown(canonical_log(events)))
    return {"tasks": tasks, "log": log.splitlines()}


def path_of(folder: Path, scenario: str) -> Path:
    """Where a scenario is written down."""
    return folder / (re.sub(r"[^\w.-]+", "_", scenario)[:150] + ".json")


def write_down(folder: Path, scenario: str, found: dict[str, Any]) -> None:
    """Keep what a scenario came to."""
    folder.mkdir(parents=True, exist_ok=True)
    path_of(folder, scenario).write_text(json.dumps(found, indent=1), encoding="utf-8")


def compare(
    folder: Path, scenario: str, found: dict[str, Any], *, by_the_clock: bool = False
) -> None:
    """Hold a scenario to what was written down.

    Args:
        folder: where.
        scenario: its name.
        found: what it came to here.
        by_the_clock: whether only the ends of its tasks are to be the same.

    Raises:
        AssertionError: it came to something else, or nothing was written down.
    """
    path = path_of(folder, scenario)
    assert path.is_file(), f"{folder} does not say what {scenario} came to elsewhere"
    wanted = json.loads(path.read_text(encoding="utf-8"))
    assert found["tasks"] == wanted["tasks"]
    differing = unified_diff(wanted["log"], found["log"], "elsewhere", "here", lineterm="", n=0)
    assert by_the_clock or found["log"] == wanted["log"], "\n".join(differing)
