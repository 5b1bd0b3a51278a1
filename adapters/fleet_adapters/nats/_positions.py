"""Positions in a log that consists of several streams, each with sequence numbers of its own.

A position holds, for every stream, the sequence number of the last event that a replay has passed
there: 40 bits a stream, in the order below. So positions rise within a replay whatever the order
in which streams take turns, each says exactly where to go on, and a position of a replay of one
stream is comparable with every other of that stream.
"""

from __future__ import annotations

from collections.abc import Mapping

BITS = 40
ORDER = (  # only ever append: positions are kept by others
    "DEAD_LETTERS",
    "PLANNING_EVENTS",
    "ORCHESTRATOR_EVENTS",
    "CONTEXT_EVENTS",
    "AGENT_RESULTS",
    "VLLM_STREAMING",
    "AGENT_JOBS",
)
_MASK = (1 << BITS) - 1


def position(sequences: Mapping[str, int]) -> int:
    """The position of the last passed sequence number of each stream; 0 for none."""
    return sum(sequences.get(name, 0) << (BITS * index) for index, name in enumerate(ORDER))


def sequences(of: int) -> dict[str, int]:
    """The last passed sequence number of each stream; 0 where the position does not tell."""
    return {name: (max(of, 0) >> (BITS * index)) & _MASK for index, name in enumerate(ORDER)}
