"""The shapes of agents' answers: the JSON schemas they are asked for, and how they are read.

An answer asked for as free text is read by stated rules, so that models without structured
output can sit in a council too. A schema is made once and shared: nobody changes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fleet_core.domain.ids import text_hash

_TITLE_CHARS = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as written: `text` is the solution; `digest` is its hash and its identity."""

    title: str
    rationale: str
    text: str
    affects: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Orders and labels candidates without regard to authors."""
        return text_hash(self.text)


@dataclass(frozen=True, slots=True)
class Critique:
    """What one agent says of one labelled candidate."""

    label: str
    strengths: str = ""
    weaknesses: str = ""


@dataclass(frozen=True, slots=True)
class Ballot:
    """Labels, best first, without repeats; reasons by label, or one reason for all."""

    ranking: tuple[str, ...]
    critiques: tuple[Critique, ...] = ()
    reason: str = ""


@lru_cache(maxsize=256)
def proposal_schema(known_tasks: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a structured proposal; `affects` only where there are tasks to name."""
    properties: dict[str, Any] = {
        "title": {"type": "string"},
        "rationale": {"type": "string"},
        "solution": {"type": "string"},
    }
    if known_tasks:
        properties["affects"] = {
            "type": "array",
            "items": {"type": "string", "enum": list(known_tasks)},
            "maxItems": len(known_tasks),
        }
    return _object(properties)


@lru_cache(maxsize=256)
def critique_schema(labels: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a critique of all shown candidates, with the ballot."""
    entry = _object(
        {
            "label": {"type": "string", "enum": list(labels)},
            "strengths": {"type": "string"},
            "weaknesses": {"type": "string"},
        }
    )
    critiques = {
        "type": "array",
        "items": entry,
        "minItems": len(labels),
        "maxItems": len(labels),
    }
    return _object({"critiques": critiques, "ranking": _ranking(labels)})


@lru_cache(maxsize=256)
def judgement_schema(labels: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a judge's ranking."""
    return _object({"reason": {"type": "string"}, "ranking": _ranking(labels)})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _ranking(labels: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "enum": list(labels)},
        "minItems": len(labels),
        "maxItems": len(labels),
    }


@lru_cache(maxsize=1024)
def read_proposal(
    answer: str, *, structured: bool, known_tasks: tuple[str, ...]
) -> Proposal | None:
    """The proposal in an answer; None where there is no solution in it.

    In free text the title is the first line with letters or digits outside a code fence, the
    rationale the first paragraph of prose after it, and the solution the whole answer.
    `affects` keeps only known ids, each once.
    """
    if structured:
        data = _json_object(answer)
        if data is None:
            return None
        solution = _text(data, "solution")
        if not solution.strip():
            return None
        named = data.get("affects")
        affects = tuple(t for t in known_tasks if isinstance(named, list) and t in named)
        title = _text(data, "title").strip()[:_TITLE_CHARS] or _first_line(solution)
        return Proposal(title, _text(data, "rationale").strip(), solution, affects)
    if not answer.strip():
        return None
    prose = re.sub(r"```.*?(```|\Z)", "", answer, flags=re.DOTALL)
    title = _first_line(prose) or _first_line(answer) or answer.strip()[:_TITLE_CHARS]
    rest = prose.partition(title)[2] if title in prose else prose
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", rest))
    rationale = next((p for p in paragraphs if re.search(r"\w", p)), "")
    return Proposal(title, rationale, answer)


@lru_cache(maxsize=1024)
def read_ballot(answer: str, labels: tuple[str, ...]) -> Ballot | None:
    """The ballot in a critique or a judgement; None where no known label is ranked.

    Labels that were not shown and repeats are dropped; labels that are missing stay unranked.
    In free text, which has no critiques by label, a line `RANKING: B, A` is the ballot.
    """
    data = _json_object(answer)
    if data is None:
        line = re.search(r"^\W*ranking\W*:(.*)$", answer, flags=re.IGNORECASE | re.MULTILINE)
        named: list[Any] = re.findall(r"\b[A-Z]{1,2}\b", line.group(1)) if line else []
        ranking = _known(named, labels)
        return Ballot(ranking, reason=answer.strip()) if ranking else None
    found = data.get("ranking")
    ranking = _known(found if isinstance(found, list) else [], labels)
    entries = data.get("critiques")
    critiques = tuple(
        Critique(entry["label"], _text(entry, "strengths"), _text(entry, "weaknesses"))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("label") in labels
    )
    if not ranking:
        return None
    return Ballot(ranking, critiques, _text(data, "reason"))


def _known(named: Sequence[Any], labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(x for x in named if isinstance(x, str) and x in labels))


def _json_object(answer: str) -> dict[str, Any] | None:
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError):  # the latter: brackets nested by the thousand
        return None
    return data if isinstance(data, dict) else None


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _first_line(text: str) -> str:
    for line in text.splitlines():
        if re.search(r"\w", line) and not line.lstrip().startswith("```"):
            return line.strip().strip("#*_ ").strip()[:_TITLE_CHARS]
    return ""
