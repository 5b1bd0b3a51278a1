"""Answers as they come over the wire, whole or as server-sent events. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_EVENT_BYTES = 1024 * 1024


class NotAnAnswer(ValueError):
    """The bytes are not a chat completion."""


@dataclass(slots=True)
class WireAnswer:
    """What a server said, so far.

    Attributes:
        finish: its finish reason; empty until it gave one.
        done: whether the end mark came.
        prompt_tokens, answer_tokens: None where the server did not say.
        refusal: why the model declined, in its words.
        error: an error object sent in place of the answer, or within it.
    """

    text: str = ""
    finish: str = ""
    done: bool = False
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    refusal: str = ""
    error: Any = None

    @property
    def complete(self) -> bool:
        """Whether the server said that it has ended."""
        return self.done or bool(self.finish)

    def note_usage(self, usage: Any) -> None:
        """Take the token counts of a `usage` object, where they are counts."""
        if isinstance(usage, Mapping):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.answer_tokens = _count(usage.get("completion_tokens"))


def parse_whole(raw: bytes) -> WireAnswer:
    """A completion that came in one piece.

    Raises:
        NotAnAnswer: it is not the JSON of one.
    """
    answer = WireAnswer(done=True)
    try:
        data = json.loads(raw)
        if "choices" not in data:
            answer.error = data["error"]
            return answer
        choice = data["choices"][0]
        message = choice["message"]
        answer.text = _whole_characters(message.get("content") or "")
        answer.refusal = str(message.get("refusal") or "")
        answer.finish = str(choice.get("finish_reason") or "stop")
        answer.note_usage(data.get("usage"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotAnAnswer(repr(error)) from None
    return answer


class StreamedAnswer:
    """Puts an answer together from the bytes of an event stream, in whatever pieces they come."""

    def __init__(self) -> None:
        self.answer = WireAnswer()
        self._parts: list[str] = []
        self._rest = b""
        self._bytes = 0

    def feed(self, data: bytes) -> str:
        """Take the next bytes; the text that they complete.

        Raises:
            NotAnAnswer: they are not the events of a chat completion.
        """
        self._bytes += len(data)
        data = self._rest + data
        end = data.rfind(b"\n")
        if end < 0:
            if len(data) > _MAX_EVENT_BYTES:
                raise NotAnAnswer("a line without end")
            self._rest = data
            return ""
        self._rest = data[end + 1 :]
        if self._bytes > MAX_ANSWER_BYTES:
            raise NotAnAnswer("an answer without end")
        payloads = []
        for line in data[:end].split(b"\n"):
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    self.answer.done = True
                elif payload:
                    payloads.append(payload)
            elif line.startswith(b"error:"):
                payloads.append(line[6:].strip())
        return self._take(payloads) if payloads else ""

    def finished(self) -> WireAnswer:
        """The answer as far as it came; the stream has ended."""
        rest, self._rest = self._rest.strip(), b""
        if rest == b"data: [DONE]":  # the last line need not be ended
            self.answer.done = True
        self.answer.text = _whole_characters("".join(self._parts))
        return self.answer

    def _take(self, payloads: list[bytes]) -> str:
        """Read events; several that came together are decoded in one go."""
        answer, parts = self.answer, []
        try:
            for event in json.loads(b"[" + b",".join(payloads) + b"]"):
                choices = event.get("choices")
                if choices:
                    choice = choices[0]
                    text = choice["delta"].get("content")
                    if text:
                        parts.append(text)
                    reason = choice.get("finish_reason")
                    if reason:
                        answer.finish = str(reason)
                elif "error" in event or "message" in event:
                    answer.error = event.get("error", event)
                usage = event.get("usage")
                if usage:
                    answer.note_usage(usage)
            text = "".join(parts)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise NotAnAnswer(repr(error)) from None
        self._parts.append(text)
        return text


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _whole_characters(text: str) -> str:
    """The text with surrogate halves joined, and a lone one replaced: it must encode as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
