"""The script: answers keyed by where an agent job stands, never by when it arrives.

A script is YAML or JSON with one key, `answers`, a list of entries. Each entry has

- any of the keys `task` (the task's id), `role`, `agent` (seat number), `step`, `round` and
  `sample`; a key left out matches all, and the entry with the most keys wins;
- the answer: `text`, or `json` (a mapping), or `prefer`: a list of markers. A call to rank
  candidates is then answered with those whose text contains a marker first, in the order of the
  markers. Where the call asks for a schema, required keys that the entry leaves out are filled
  in, and a `text` becomes its `solution`;
- `delay_ms` before the answer, and `tokens: {prompt: N, answer: N}` in place of the estimate;
- `fail`: one of `status` (an HTTP status; with `retry_after` in seconds), `empty`, `malformed`,
  `cut` (the answer breaks off after so many characters), `hang` (no answer; after `cut`
  characters where both are given); and `times`: so many calls of a job fail, later ones are
  answered; 0, the default, fails them all.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from fleet_core.domain.codec import from_data
from fleet_core.domain.council import role_name
from fleet_core.errors import InputError

KEYS = ("task", "role", "agent", "step", "round", "sample")


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What an answer is said to have used."""

    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class Fail:
    """How a call goes wrong; `cut` is -1 for not at all, `retry_after` in seconds."""

    status: int = 0
    retry_after: float = 0.0
    cut: int = -1
    empty: bool = False
    malformed: bool = False
    hang: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer and what it is keyed by; see the module."""

    task: str | None = None
    role: str | None = None
    agent: int | None = None
    step: str | None = None
    round: int | None = None
    sample: int | None = None
    text: str | None = None
    json: Mapping[str, Any] | None = None
    prefer: tuple[str, ...] = ()
    delay_ms: int = 0
    tokens: TokenCounts | None = None
    fail: Fail | None = None
    times: int = 0

    def keys(self) -> dict[str, Any]:
        """The keys that it has, roles in their compared form."""
        given = {name: getattr(self, name) for name in KEYS}
        if self.role is not None:
            given["role"] = role_name(self.role)
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Script:
    """All the answers, in the order they were written."""

    answers: tuple[Entry, ...]

    def entry_for(self, job: Mapping[str, Any]) -> Entry | None:
        """The most specific entry for a job (as `parse_header` gives it); None where none is."""
        place = {**job, "role": role_name(job["role"])}
        matching = [e for e in self.answers if e.keys().items() <= place.items()]
        return max(matching, key=lambda e: len(e.keys()), default=None)


def load_script(path: Path) -> Script:
    """The script of a file.

    Raises:
        InputError: the file cannot be read, is not YAML, or is not a script; names the field.
    """
    try:
        data = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", "name a script file", source=str(path)
        ) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise InputError(f"is not YAML: {' '.join(str(error).split())}", source=str(path)) from None
    return parse_script(data, source=str(path))


def parse_script(data: Any, *, source: str = "script") -> Script:
    """A script from its data.

    Raises:
        InputError: names `source` and the field.
    """
    script = from_data(Script, data, source=source)
    for index, entry in enumerate(script.answers):
        _validate(entry, source, f"answers[{index}]")
    _refuse_ties(script, source)
    return script


def _validate(entry: Entry, source: str, at: str) -> None:
    for field, message, hint in _problems(entry):
        raise InputError(message, hint, source=source, field=f"{at}.{field}".rstrip("."))


def _problems(entry: Entry) -> Iterator[tuple[str, str, str]]:
    """Field, what is wrong with it, and the way out."""
    if entry.text is not None and (entry.json is not None or entry.prefer):
        yield "text", "stands beside json or prefer", "give one answer"
    if entry.text is not None and not entry.text.strip():
        yield "text", "is empty", "for an empty answer write fail: {empty: true}"
    try:
        jsonlib.dumps(entry.json)
    except (TypeError, ValueError):
        yield "json", "is not JSON", "quote dates and the like"
    for name in ("delay_ms", "times"):
        if getattr(entry, name) < 0:
            yield name, "is below 0", "give 0 or more"
    fail = entry.fail
    if fail is None and entry.times:
        yield "times", "there is nothing to fail", "add fail"
    if fail is not None:
        yield from _fail_problems(fail)
    answered = entry.text is not None or entry.json is not None or bool(entry.prefer)
    if not answered and (fail is None or entry.times or fail.cut >= 0):
        yield "", "has no answer", "add text, json or prefer"


def _fail_problems(fail: Fail) -> Iterator[tuple[str, str, str]]:
    ways = [bool(fail.status), fail.empty, fail.malformed, fail.cut >= 0 or fail.hang]
    if ways.count(True) != 1:
        names = ", ".join(f.name for f in fields(Fail) if f.name != "retry_after")
        yield "fail", "fails in no way, or in several", f"give one of {names}"
    if fail.status and not 400 <= fail.status <= 599:
        yield "fail.status", "is not the status of a failure", "give 400 to 599"
    if fail.retry_after < 0 or (fail.retry_after and not fail.status):
        yield "fail.retry_after", "needs a status, and 0 or more seconds", "add status: 429"


def _refuse_ties(script: Script, source: str) -> None:
    """Two entries of equal weight for one job are refused, unless a third one decides."""
    keyed = [entry.keys() for entry in script.answers]
    for later, second in enumerate(keyed):
        for earlier, first in enumerate(keyed[:later]):
            if len(first) != len(second):
                continue
            if any(first[name] != second[name] for name in first.keys() & second.keys()):
                continue
            both = {**first, **second}
            if any(len(k) > len(first) and k.items() <= both.items() for k in keyed):
                continue
            raise InputError(
                f"ties with answers[{earlier}]: a job can match both ({_spoken(both)})",
                "give one of them a further key",
                source=source,
                field=f"answers[{later}]",
            )


def _spoken(keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in keys.items()) or "every job"
