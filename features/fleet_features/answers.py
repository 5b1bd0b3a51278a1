"""The script of a scenario, kept as it is told and turned into entries at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_adapters.scripted.script import Script, parse_script
from fleet_features.profiles import SEATS

PROPOSING = ("propose", "revise")
RANKING = ("critique", "judge")
Place = frozenset[tuple[str, Any]]


@dataclass
class ScriptBook:
    """Who answers what. Unless told otherwise everybody answers, and nobody has a preference.

    An unpreferring ballot ranks in the order of the labels, which is that of the texts' hashes.
    """

    _entries: dict[Place, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let everybody answer."""
        for step in RANKING:
            self.answers({"step": step}, json={})
        for seat in range(1, SEATS + 1):
            self.proposes(seat, f"The plain proposal of seat {seat}.")

    def answers(self, place: Mapping[str, Any], **entry: Any) -> None:
        """The answer at a place (`task`, `step`, `agent`, ...), in place of an earlier one."""
        self._entries[frozenset(place.items())] = entry

    def proposes(self, seat: int, text: str, task: str = "", **more: Any) -> None:
        """An agent proposes a text, and holds to it when it is to revise."""
        for step in PROPOSING:
            extra = more if step == "propose" else {}
            self.answers(_place(step, seat, task), text=text, **extra)

    def fails(self, seat: int, fail: Mapping[str, Any], task: str = "", times: int = 0) -> None:
        """An agent's proposal fails; the first `times` calls of it, or all."""
        place = _place("propose", seat, task)
        held = (
            self._entries.get(frozenset(place.items()))
            or self._entries[frozenset(_place("propose", seat, "").items())]
        )
        entry = {**held, "fail": dict(fail)}
        if times:
            entry["times"] = times
        elif not {"cut", "hang"} & fail.keys():
            entry = {"fail": dict(fail)}
        self.answers(place, **entry)

    def delays(self, seat: int, ms: int) -> None:
        """An agent's proposal takes its time."""
        place = _place("propose", seat, "")
        self.answers(place, **self._entries[frozenset(place.items())], delay_ms=ms)

    def delays_all(self, ms: int) -> None:
        """Every answer takes its time."""
        for place, entry in self._entries.items():
            self._entries[place] = {**entry, "delay_ms": ms}

    def prefers(self, step: str, marker: str, seat: int = 0) -> None:
        """Critiques, or the judge, put candidates with a marker in their text first."""
        place: dict[str, Any] = {"step": step}
        if seat:
            place["agent"] = seat
        self.answers(place, prefer=[marker])

    def data(self) -> dict[str, Any]:
        """The script as YAML or JSON data."""
        return {"answers": [dict(place) | entry for place, entry in self._entries.items()]}

    def script(self) -> Script:
        """The script, checked."""
        return parse_script(self.data(), source="the scenario's script")


def _place(step: str, seat: int, task: str) -> dict[str, Any]:
    place: dict[str, Any] = {"step": step, "agent": seat}
    return {**place, "task": task} if task else place
