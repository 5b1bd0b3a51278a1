"""Tokens of texts, as a model counts them; those counted lately are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from fleet_core.ports.model import Model
from fleet_core.recent import Recent

_CHARACTERS = 20_000_000  # of the texts that are kept


class TokenCounts:
    """Asks the model for what it has not been asked lately, all in one batch.

    Args:
        model: whose tokenizer counts.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._by = ""
        self._known: Recent[str, int] = Recent(_CHARACTERS)

    async def of(self, texts: Iterable[str]) -> dict[str, int]:
        """Tokens by text; the empty one has none."""
        by = self._model.tokenizer()
        if by != self._by:
            self._by = by
            self._known = Recent(_CHARACTERS)
        asked = list(texts)
        found = dict(zip(asked, self._known.each(asked), strict=True))
        found[""] = 0
        missing = [text for text, size in found.items() if size is None]
        if missing:
            for text, size in zip(missing, await self._model.count(missing), strict=True):
                found[text] = size
                self._known.put(text, size, len(text))
        return cast("dict[str, int]", found)
