"""What must be the same in every process that runs jobs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

import fleet_core
from fleet_core.errors import PluginError

NAMES = {"ray": "Ray", "python": "Python", "fleet": "swe-ai-fleet"}


def versions() -> dict[str, str]:
    """Of Ray, Python and the fleet, in this process; imports no Ray."""
    return {
        "ray": version("ray"),
        "python": platform.python_version(),
        "fleet": fleet_core.__version__,
    }


def refuse_skew(ours: Mapping[str, str], theirs: Mapping[str, str], whose: str) -> None:
    """Refuse other versions than ours; what the other side does not tell is not compared.

    Args:
        ours: of the executor.
        theirs: of a cluster or worker.
        whose: names it.

    Raises:
        PluginError: names every difference, both versions and the way out.
    """
    differing = [n for n in NAMES if n in theirs and theirs[n] != ours[n]]
    if differing:
        both = " and ".join(f"{NAMES[n]} {theirs[n]}" for n in differing)
        here = " and ".join(f"{NAMES[n]} {ours[n]}" for n in differing)
        raise PluginError(
            f"{whose} runs {both}, this executor {here}",
            "install the same versions on both sides: they exchange pickled objects",
        )
