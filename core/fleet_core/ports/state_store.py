"""StateStore: versioned documents with compare-and-set."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Document:
    """A document as kept; versions start at 1 and rise by 1 with each write of the key."""

    key: str
    version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Put:
    """Write a document.

    Attributes:
        expect: the version it must have now; 0: it must not exist; None: whatever it has.
        ttl_ms: gone after so long; 0 keeps it. A write without it lifts an earlier one.
    """

    key: str
    value: bytes
    expect: int | None = None
    ttl_ms: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a document; one that does not exist is fine where `expect` is None."""

    key: str
    expect: int | None = None


Write = Put | Delete


class StateStore(Protocol):
    """Keys are text with `/`; values are bytes. An expired document does not exist."""

    @abstractmethod
    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """The documents of those keys, in that order, from one snapshot."""

    @abstractmethod
    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """All the writes or none, each key at most once; the new versions, 0 for a deletion.

        Returns once they survive a kill of this process.

        Raises:
            Conflict: an expectation does not hold; `key` names the first; nothing was written.
            Unavailable, StoreError: nothing was written, or (Unavailable) it is unknown.
        """

    @abstractmethod
    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """Documents whose key begins with `prefix` and is above `after`, in key order."""
