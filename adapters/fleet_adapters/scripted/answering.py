"""What a call is answered with: from a script, or from a hash of the request."""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fleet_adapters.scripted.conforming import conforming
from fleet_adapters.scripted.script import Entry, Fail, Script
from fleet_core.domain.ids import canonical
from fleet_core.domain.job_header import JOB_HEADER, parse_header
from fleet_core.domain.model_call import MESSAGE_TOKENS, estimate_tokens
from fleet_core.errors import DecodeError

_CANDIDATE = re.compile(r"^### Candidate (\S+)[ \t]*$")
_END = "<<<end>>>"
_BROKEN = '{"title": "an answer that is no'


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, as either door sees it.

    Attributes:
        header: the text of `x-fleet-job`; empty where there was none.
        messages: role and text of each.
        schema: what was asked for, or None.
        sampling: whatever else makes the call what it is.
        traceparent: the trace context it came with, or empty; no answer depends on it.
    """

    header: str
    messages: tuple[tuple[str, str], ...]
    schema: Mapping[str, Any] | None = None
    sampling: Mapping[str, Any] | None = None
    traceparent: str = ""

    @property
    def prompt(self) -> str:
        """All its messages, one after the other."""
        return "\n".join(text for _, text in self.messages)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the call gets; where `fail` is set, in that way."""

    text: str
    prompt_tokens: int
    answer_tokens: int
    delay_ms: int = 0
    fail: Fail | None = None


class NoAnswer(Exception):
    """The script has nothing for this call; nothing is made up."""


class Answers(Protocol):
    """Where replies come from."""

    @abstractmethod
    def reply(self, asked: Asked) -> Reply:
        """The reply to a call.

        Raises:
            NoAnswer: there is none.
        """


class ScriptedAnswers(Answers):
    """Replies by a script; counts how often each job was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._asked: dict[str, int] = {}

    def reply(self, asked: Asked) -> Reply:
        """See `Answers.reply`."""
        if not asked.header:
            raise NoAnswer(f"the call has no {JOB_HEADER} header to find its answer by")
        try:
            job = parse_header(asked.header)
        except DecodeError as error:
            raise NoAnswer(str(error)) from None
        entry = self._script.entry_for(job)
        if entry is None:
            raise NoAnswer(f"the script has no answer for {asked.header}")
        times = self._asked[asked.header] = self._asked.get(asked.header, 0) + 1
        fails = entry.fail is not None and (not entry.times or times <= entry.times)
        fail = entry.fail if fails else None
        text = _fail_text(fail) if fail and (fail.empty or fail.malformed) else _text(entry, asked)
        prompt, answer = _estimates(asked, text)
        if entry.tokens is not None:
            prompt, answer = entry.tokens.prompt, entry.tokens.answer
        return Reply(text, prompt, answer, entry.delay_ms, fail)


class HashedAnswers(Answers):
    """Replies that are a function of the request and of nothing else."""

    def __init__(self, delay_ms: int = 0) -> None:
        self._delay_ms = delay_ms

    def reply(self, asked: Asked) -> Reply:
        """See `Answers.reply`."""
        digest = hashlib.sha256(
            canonical([asked.messages, asked.schema, asked.sampling])
        ).hexdigest()
        if asked.schema is None:
            text = f"answer {digest[:16]}"
        else:
            value = conforming(
                asked.schema,
                lambda at: f"{at} {_digest(digest, at)[:12]}",
                order=lambda labels: sorted(labels, key=lambda label: _digest(digest, label)),
            )
            text = json.dumps(value)
        return Reply(text, *_estimates(asked, text), self._delay_ms)


def candidates(prompt: str) -> dict[str, str]:
    """The texts of the candidates in a prompt, by label, in the order they stand there.

    A candidate begins with the line `### Candidate LABEL` and ends at the next line that begins
    with `### `, or at `<<<end>>>`.
    """
    found: dict[str, list[str]] = {}
    label = ""
    for line in prompt.splitlines():
        match = _CANDIDATE.match(line)
        if match:
            label = match[1]
            found[label] = []
        elif line.startswith(("### ", _END)):
            label = ""
        elif label:
            found[label].append(line)
    return {label: "\n".join(lines) for label, lines in found.items()}


def ranked(labels: Sequence[str], texts: Mapping[str, str], markers: Sequence[str]) -> list[str]:
    """Labels whose text contains a marker, in the order of the markers; then the others."""
    first = [label for marker in markers for label in labels if marker in texts.get(label, "")]
    return list(dict.fromkeys([*first, *labels]))


def _text(entry: Entry, asked: Asked) -> str:
    if entry.text is None and entry.json is None and not entry.prefer:
        return ""  # an entry that only fails
    schema = asked.schema
    given: dict[str, Any] = dict(entry.json or {})
    if entry.text is not None:
        if schema is None or "solution" not in schema.get("properties", {}):
            return entry.text
        given = {"title": entry.text.strip().splitlines()[0][:80], "solution": entry.text}
    if entry.prefer and "ranking" not in given:
        texts = candidates(asked.prompt)
        given["ranking"] = ranked(_labels(schema) or list(texts), texts, entry.prefer)
    if schema is not None:
        filled = conforming(schema, lambda at: f"scripted {at}")
        if isinstance(filled, dict):
            given = {**filled, **given}
    return json.dumps(given, ensure_ascii=False)


def _labels(schema: Mapping[str, Any] | None) -> list[str]:
    ranking = (schema or {}).get("properties", {}).get("ranking", {})
    return list(ranking.get("items", {}).get("enum", ()))


def _fail_text(fail: Fail) -> str:
    return "" if fail.empty else _BROKEN


def _estimates(asked: Asked, text: str) -> tuple[int, int]:
    prompt = sum(estimate_tokens(said) + MESSAGE_TOKENS for _, said in asked.messages)
    return prompt, estimate_tokens(text)


def _digest(digest: str, part: str) -> str:
    return hashlib.sha256(f"{digest}/{part}".encode()).hexdigest()
