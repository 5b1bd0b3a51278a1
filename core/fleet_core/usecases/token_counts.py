"""Tokens of texts, as a model counts them; those counted lately are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from fleet_core.domain.pack import Parts, sizes_of
from fleet_core.ports.model import Model
from fleet_core.recent import Recent

_CHARACTERS = 20_000_000  # of the texts that are kept
Sizes = tuple[int, ...]


class TokenCounts:
    """Asks the model for what it has not been asked lately, all in one batch.

    Args:
        model: whose tokenizer counts.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._by = ""
        self._known: Recent[Parts, Sizes] = Recent(_CHARACTERS)

    async def of(self, items: Iterable[Parts]) -> dict[Parts, Sizes]:
        """Sizes by an item's parts, see `pack.sizes_of`; an empty part has no tokens."""
        by = self._model.tokenizer()
        if by != self._by:
            self._by = by
            self._known = Recent(_CHARACTERS)
        asked = list(items)
        found = dict(zip(asked, self._known.each(asked), strict=True))
        missing = [parts for parts, sizes in found.items() if sizes is None]
        if missing:
            texts = [text for text in dict.fromkeys(t for parts in missing for t in parts) if text]
            counted = zip(texts, await self._model.count(texts), strict=True)
            tokens = {"": 0, **dict(counted)}
            for parts in missing:
                found[parts] = sizes = sizes_of(parts, tokens)
                self._known.put(parts, sizes, sum(map(len, parts)))
        return cast("dict[Parts, Sizes]", found)

    async def whole(self, text: str) -> int:
        """Tokens of a whole pack's text, before which there is no join."""
        sizes = await self.of([(text,)])
        return sizes[(text,)][0] - 1
