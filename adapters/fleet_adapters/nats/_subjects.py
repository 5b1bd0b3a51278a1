"""Subjects and names as NATS takes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fleet_core.domain.events import STREAMS, Stream, matches
from fleet_core.errors import InputError

_PLAIN = re.compile(rb"[A-Za-z0-9_-]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_SUBJECT = re.compile(r"[^\s.*>\x00-\x20\x7f]+(\.[^\s.*>\x00-\x20\x7f]+)*")
_PATTERN = re.compile(r"([^\s.*>\x00-\x20\x7f]+|\*)(\.([^\s.*>\x00-\x20\x7f]+|\*))*(\.>)?|>")
_LONGEST = 200  # bytes of a name; the server's own limit is 255


def token(text: str) -> str:
    """Any text as one token of a subject: what NATS reserves is written `=XX`, one for a byte."""
    raw = text.encode("utf-8", "surrogatepass")
    return (
        b"".join(bytes([b]) if _PLAIN.match(bytes([b])) else b"=%02X" % b for b in raw).decode()
        or "="
    )


def text_of(token_: str) -> str:
    """What `token` made one token of.

    Raises:
        ValueError: it made no such token.
    """
    raw = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), token_.encode())
    return raw.decode("utf-8", "surrogatepass")


def consumer_name(durable: str) -> str:
    """A durable's name as that of a consumer; unlike for unlike durables.

    Raises:
        InputError: it is empty, or too long once it is written so.
    """
    name = token(durable)
    if not durable or len(name) > _LONGEST:
        raise InputError(
            f"{durable[:40]!r} cannot name a durable",
            f"take a name of 1 to {_LONGEST} letters and digits",
            field="durable",
        )
    return name


def is_subject(subject: str) -> bool:
    """Whether NATS can publish to it."""
    return _SUBJECT.fullmatch(subject) is not None


def require_patterns(subjects: Sequence[str]) -> None:
    """Refuse what is no pattern.

    Raises:
        InputError: names it.
    """
    for subject in subjects:
        if _PATTERN.fullmatch(subject) is None:
            raise InputError(f"{subject!r} is no pattern of subjects", field="subjects")


def common(one: str, other: str) -> str | None:
    """The pattern of the subjects that match both; None where there are none."""
    out: list[str] = []
    left, right = one.split("."), other.split(".")
    for index in range(max(len(left), len(right))):
        a = left[index] if index < len(left) else ""
        b = right[index] if index < len(right) else ""
        if not a or not b:
            return None
        if a == ">" or b == ">":
            return ".".join([*out, *(right if a == ">" else left)[index:]])
        if a != b and "*" not in (a, b):
            return None
        out.append(b if a == "*" else a)
    return ".".join(out)


def streams_of(subjects: Sequence[str]) -> dict[Stream, tuple[str, ...]]:
    """The streams that hold what matches, each with the patterns that select it there.

    A work queue, or a stream kept in memory, is no part of the log: it takes part only where a
    pattern names it, as `vllm.streaming.>` does and `>` does not.
    """
    out: dict[Stream, tuple[str, ...]] = {}
    for stream in STREAMS:
        shared = {
            pattern
            for subject in subjects
            if _meant(stream, subject) and (pattern := common(subject, stream.subjects))
        }
        if shared:
            out[stream] = _uncovered(shared)
    return out


def _meant(stream: Stream, subject: str) -> bool:
    aside = stream.work_queue or stream.memory
    return not aside or subject.startswith(stream.subjects.removesuffix(">"))


def _uncovered(patterns: set[str]) -> tuple[str, ...]:
    """The same, without patterns that others cover: the server refuses those."""
    kept = {p for p in patterns if not any(q != p and _covers(q, p) for q in patterns)}
    return tuple(sorted(kept))


def _covers(wider: str, pattern: str) -> bool:
    # A wildcard stands for itself here: only a wildcard, never a literal, covers it.
    if pattern.endswith(">") and not wider.endswith(">"):
        return False
    return matches(wider, pattern)
