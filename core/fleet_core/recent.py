"""A mapping that keeps what was put in last, up to a weight in all; for what never changes."""

from __future__ import annotations

from collections import OrderedDict
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
        # A plain dict finds its first key by passing over all that were dropped before it.
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._weights: dict[K, int] = {}

    def get(self, key: K) -> V | None:
        """The value of a key; None where it is not kept."""
        return self._kept.get(key)

    def each(self, keys: Iterable[K]) -> list[V | None]:
        """The value of each key, None where it is not kept; quicker than asking for each."""
        return list(map(self._kept.get, keys))

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, in place of the key's other one; one that is too heavy is not kept."""
        if key in self._kept:
            del self._kept[key]
            self._weight -= self._weights.pop(key)
        if weight > self._most:
            return
        self._kept[key] = value
        self._weights[key] = weight
        self._weight += weight
        while self._weight > self._most:
            first, _ = self._kept.popitem(last=False)
            self._weight -= self._weights.pop(first)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._weights.clear()
        self._weight = 0
