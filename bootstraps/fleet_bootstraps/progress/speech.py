"""What agents are saying, folded from pieces into whole lines."""

from __future__ import annotations

from collections.abc import Iterator

from fleet_core.ports.token_stream import Words

_LINE = 100


class Speech:
    """Who speaks, and the lines that are ready to be shown.

    Several agents speak at once: a line is shown once it is whole, so that they do not mix.
    """

    def __init__(self) -> None:
        self._pending: dict[str, tuple[Words, str]] = {}
        self._heard: dict[str, int] = {}

    def hear(self, words: Words) -> Iterator[tuple[str, str, str]]:
        """Take a piece; yields `(task token, agent id, line)` for each line that is now whole."""
        _, text = self._pending.get(words.job_id, (words, ""))
        if words.offset < self._heard.get(words.job_id, 0):
            text = ""  # a retry begins the answer anew
        self._heard[words.job_id] = words.offset + len(words.text)
        text += words.text
        *lines, rest = text.split("\n")
        while len(rest) >= _LINE:
            cut = rest.rfind(" ", 1, _LINE)
            cut = cut if cut > 0 else _LINE
            lines.append(rest[:cut])
            rest = rest[cut:].lstrip(" ")
        self._pending[words.job_id] = (words, rest)
        yield from ((words.task, words.agent_id, line) for line in lines if line.strip())

    def rest(self) -> Iterator[tuple[str, str, str]]:
        """The lines that were begun and not ended; forgets everything."""
        for words, text in self._pending.values():
            if text.strip():
                yield words.task, words.agent_id, text
        self._pending.clear()
        self._heard.clear()
