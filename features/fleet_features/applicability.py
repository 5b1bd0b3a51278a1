"""Which scenarios a profile can be held to, by the tags they carry and by what it declares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields

from fleet_bootstraps.profile import Profile

TAGS: Mapping[str, str] = {
    "scripted": "the answers come from a script in place of the model",
    "durable": "what the fleet keeps outlives its process",
    "faults": "the script is served over HTTP, and what goes wrong happens on the way",
    "live": "the profile's own model answers",
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
    return ""
