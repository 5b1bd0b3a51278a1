"""The reference of all settings, made from the dataclasses that hold them.

`python -m fleet_bootstraps.reference` prints what stands in README.md between its marks.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator, Mapping

from fleet_bootstraps.profile import plain
from fleet_bootstraps.settings import (
    AgentSettings,
    ContextSettings,
    CouncilSettings,
    DeliberationSettings,
    JudgeSettings,
    LeaseSettings,
    PriceSettings,
    ServiceSettings,
)
from fleet_plugins.api import PortName
from fleet_plugins.registry import Registry

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
_OWN: Mapping[str, type] = {
    "deliberation": DeliberationSettings,
    "deliberation.judge": JudgeSettings,
    "lease": LeaseSettings,
    "context": ContextSettings,
    "councils.ROLE": CouncilSettings,
    "councils.ROLE.agents": AgentSettings,
    "prices.BINDING": PriceSettings,
    "services.NAME": ServiceSettings,
}
_PLURALS = {PortName.MODEL: "models.NAME", PortName.CHECK: "checks.NAME"}


def reference(registry: Registry) -> str:
    """Markdown: a table of settings for each table of a profile, and for each of our adapters."""
    return "\n".join(_lines(registry)).rstrip("\n") + "\n"


def _lines(registry: Registry) -> Iterator[str]:
    for table, settings in _OWN.items():
        yield from _table(f"`[{table}]`", settings)
    for listed in registry.listing():
        if listed.distribution != "swe-ai-fleet" or listed.port not in set(PortName):
            continue
        adapter = registry.load(listed.port, listed.name)
        port = PortName(listed.port)
        also = f", `[{_PLURALS[port]}]`" if port in _PLURALS else ""
        head = f'`[{port}]`{also} with `use = "{adapter.name}"`'
        yield from _table(head, adapter.settings, adapter.summary)


def _table(head: str, settings: type, summary: str = "") -> Iterator[str]:
    fields = dataclasses.fields(settings)
    yield f"#### {head}"
    yield ""
    if summary:
        yield f"{summary[:1].upper()}{summary[1:]}."
        yield ""
    if not fields:
        yield "There is nothing to set."
        yield ""
        return
    meanings = _meanings(settings)
    yield "| key | default | meaning |"
    yield "| --- | --- | --- |"
    for field in fields:
        if field.name != "judge":  # a table of its own
            meaning = meanings.get(field.name, "")
            yield f"| `{field.name}` | {_default(field)} | {meaning} |"
    yield ""


def _meanings(settings: type) -> dict[str, str]:
    """The `Attributes` of docstrings, inherited ones too; names of one line share a meaning."""
    out: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        out |= _meant(attributes)
    return out


def _meant(attributes: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", attributes):
        names, colon, meaning = " ".join(entry.split()).partition(": ")
        if colon:
            out |= {name.strip(): meaning.replace("|", "\\|") for name in names.split(",")}
    return out


def _default(field: dataclasses.Field[object]) -> str:
    value = field.default
    if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "required"
    shown = plain(value)
    if shown in ("", None, [], {}):
        return ""
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


if __name__ == "__main__":
    sys.stdout.write(reference(Registry.discovered()))
