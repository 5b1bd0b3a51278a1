"""Whether an answer is right: it names the right value, and no other value of the same kind.

A value is named where it stands as a whole word, in whatever case: no letter, digit, `_` or `-`
right before or after it. The others are all that the project holds of that kind, the values decided
for other components and those that were rejected; so an answer that lists what it was told is
wrong. No person and no model judges.

What a guess is worth: of the eighty facts sixteen are one of ten known names, so that knowing the
ten and drawing one is right in 2 % of all questions; the others are one of hundreds or more. To
draw one of the ten values of the right kind that the project holds would be right in 10 %.
"""

from __future__ import annotations

import re
from collections.abc import Collection


def named(value: str, text: str) -> bool:
    """Whether the value stands in the text as a whole word."""
    return re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", text, re.IGNORECASE) is not None


def right(answer: str, value: str, kind: Collection[str]) -> bool:
    """Whether the answer names the value and none of the others of its kind."""
    return named(value, answer) and not any(named(v, answer) for v in kind if v != value)
