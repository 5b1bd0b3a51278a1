"""95 % intervals for shares and for differences of shares of the same questions.

R. G. Newcombe, "Interval estimation for the difference between independent proportions" and
"Improved confidence intervals for the difference between binomial proportions based on paired
data", Statistics in Medicine 17 (1998): the score interval of E. B. Wilson for a share, and method
10 (square-and-add, with the paired correction) for a difference. Both behave near 0 and 1, where
normal approximations promise more than they hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959963984540054  # of the normal distribution, 97.5 %


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    low: float
    value: float
    high: float

    @property
    def values(self) -> tuple[float, float, float]:
        """Low, value and high: the value is their median."""
        return (self.low, self.value, self.high)


def share(right: Sequence[bool]) -> Interval:
    """The share that is true (Wilson).

    Raises:
        ValueError: there is nothing to take a share of.
    """
    n = len(right)
    if not n:
        raise ValueError("a share of nothing")
    p = sum(right) / n
    middle = p + _Z**2 / (2 * n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
    below = 1 + _Z**2 / n
    return Interval(max(0.0, (middle - half) / below), p, min(1.0, (middle + half) / below))


def difference(first: Sequence[bool], second: Sequence[bool]) -> Interval:
    """The first share less the second, of the same questions in the same order (Newcombe, 10)."""
    pairs = list(zip(first, second, strict=True))
    n = len(pairs)
    a, b = pairs.count((True, True)), pairs.count((True, False))
    c, d = pairs.count((False, True)), pairs.count((False, False))
    one, two = share(first), share(second)
    phi = _phi(a, b, c, d)

    def off(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    gap = (b - c) / n
    low = gap - off(one.value - one.low, two.high - two.value)
    high = gap + off(one.high - one.value, two.value - two.low)
    return Interval(low, gap, high)


def _phi(a: int, b: int, c: int, d: int) -> float:
    """The correlation of the pairs, with Newcombe's correction for continuity."""
    below = (a + b) * (c + d) * (a + c) * (b + d)
    if not below:
        return 0.0
    above = float(a * d - b * c)
    if above > 0:
        above = max(0.0, above - (a + b + c + d) / 2)
    return above / math.sqrt(below)
