"""Tokens of texts, as a model counts them; those counted lately are kept."""

from __future__ import annotations

from collections.abc import Iterable

from fleet_core.ports.model import Model

_CHARACTERS = 20_000_000  # of the texts that are kept


class TokenCounts:
    """Asks the model for what it has not been asked lately, all in one batch.

    Args:
        model: whose tokenizer counts.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._by = ""
        self._known: dict[str, int] = {}
        self._characters = 0

    async def of(self, texts: Iterable[str]) -> dict[str, int]:
        """Tokens by text; the empty one has none."""
        by = self._model.tokenizer()
        if by != self._by:
            self._by, self._known, self._characters = by, {}, 0
        known = self._known
        found = {"": 0}
        missing = []
        for text in texts:
            size = known.get(text)
            if size is not None:
                found[text] = size
            elif text:
                missing.append(text)
        if missing:
            for text, size in zip(missing, await self._model.count(missing), strict=True):
                found[text] = known[text] = size
            self._keep(known, sum(map(len, missing)))
        return found

    def _keep(self, known: dict[str, int], more: int) -> None:
        """Forget the oldest where there are too many."""
        self._characters += more
        while self._characters > _CHARACTERS:
            oldest = next(iter(known))
            del known[oldest]
            self._characters -= len(oldest)
