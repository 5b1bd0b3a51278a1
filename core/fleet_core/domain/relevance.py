"""Which of several texts bear most on a task: by the words they share with it, rare ones first.

A shared word counts for one divided by how many of the texts have it (inverse document frequency),
so that what all of them say decides nothing. No model is asked, and nothing depends on time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from math import fsum

_WORD = re.compile(r"[^\W_]{4,}")


def words(*texts: str) -> frozenset[str]:
    """The words of four letters and more, without case; names in code are taken apart at `_`."""
    return frozenset(_WORD.findall("\n".join(texts).casefold()))


def ranked(about: frozenset[str], texts: Sequence[frozenset[str]]) -> list[int]:
    """The places of the texts, that of the most relevant first; ties stay in their order.

    Args:
        about: the words of the task.
        texts: the words of each text.
    """
    shared = [text & about for text in texts]
    texts_with = Counter(chain.from_iterable(shared))
    weight = {word: 1 / number for word, number in texts_with.items()}.__getitem__
    # Summed exactly: a set's words come in another order in every process.
    scores = [-fsum(map(weight, some)) if some else 0.0 for some in shared]
    return sorted(range(len(texts)), key=scores.__getitem__)
