"""A mapping that keeps what was put in last, up to a weight in all; for what never changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Forgets what was put in first; asking for a value does not keep it longer.

    Args:
        most: the weight of all values together, in the unit of `put`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._kept: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        """The value of a key; None where it is not kept."""
        found = self._kept.get(key)
        return found[0] if found is not None else None

    def known(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of those keys that are kept; quicker than asking for each."""
        kept = self._kept
        return {key: kept[key][0] for key in keys if key in kept}

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, in place of the key's other one; one that is too heavy is not kept."""
        before = self._kept.pop(key, None)
        self._weight -= before[1] if before is not None else 0
        if weight > self._most:
            return
        self._kept[key] = (value, weight)
        self._weight += weight
        while self._weight > self._most:
            self._weight -= self._kept.pop(next(iter(self._kept)))[1]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._weight = 0
