"""Which scenarios a profile can be held to, by the tags they carry and by what it declares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import fields
from importlib.util import find_spec

from fleet_bootstraps.profile import Profile

TAGS: Mapping[str, str] = {
    "scripted": "the answers come from a script in place of the model",
    "durable": "what the fleet keeps outlives its process",
    "faults": "the script is served over HTTP, and what goes wrong happens on the way",
    "live": "the profile's own model answers",
    "browser": "the monitor's page is open in Debian's chromium, driven by playwright",
    "clock": "a lease's deadline ends it, and which input meets that first is nobody's promise",
}
"""What a scenario says of itself; registered as pytest markers."""


def reads_scripts(profile: Profile) -> bool:
    """Whether the profile's own model answers from a script file: nothing is put in its place."""
    settings = profile.models()["default"].settings
    return "script" in {field.name for field in fields(settings)}


def lacking(profile: Profile, tags: Collection[str]) -> str:
    """Why scenarios with these tags are not applicable to a profile; empty where they are."""
    if "durable" in tags and not profile.durable:
        return "what it keeps ends with the process"
    scripted = reads_scripts(profile)
    if "faults" in tags and scripted:
        return "its model reads the script itself, so there is no connection to break"
    if "live" in tags and scripted:
        return "its model is a script"
    if "browser" in tags and not has_browser() and os.environ.get("CI") != "true":
        return "playwright or chromium is not on this machine (make browser)"
    return ""


def has_browser() -> bool:
    """Whether a page can be opened here."""
    return find_spec("playwright") is not None and shutil.which("chromium") is not None
