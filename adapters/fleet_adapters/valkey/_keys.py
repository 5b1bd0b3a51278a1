"""What the server's keys are called.

`<namespace>:doc:<key>`      a document: its version in decimal, a space, its bytes
`<namespace>:index`          the keys of all documents, a sorted set with one score: in key order
`<namespace>:expiring`       those that have a TTL, by when it ends (UTC ms of the server)
`<namespace>:blob:<sha256>`  a blob
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace."""

    namespace: str

    @property
    def documents(self) -> bytes:
        """What the key of every document begins with."""
        return f"{self.namespace}:doc:".encode()

    @property
    def index(self) -> bytes:
        """Documents in key order."""
        return f"{self.namespace}:index".encode()

    @property
    def expiring(self) -> bytes:
        """Documents by the end of their TTL."""
        return f"{self.namespace}:expiring".encode()

    @property
    def blobs(self) -> bytes:
        """What the key of every blob begins with."""
        return f"{self.namespace}:blob:".encode()


def to_bytes(text: str) -> bytes:
    """A document's key as kept: UTF-8, lone surrogates too; bytes sort as the text does."""
    return text.encode("utf-8", "surrogatepass")


def to_text(kept: bytes) -> str:
    """The key that was kept."""
    return kept.decode("utf-8", "surrogatepass")
