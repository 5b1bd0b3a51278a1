"""What the arms came to: a table, one by relation, and the figures with their bars."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet_core.domain.context import ContextPack
from fleet_features.bench.figures import Figure, report
from fleet_features.bench.value.arms import ARMS, EVERYTHING, NOTHING, PACK, RANDOM
from fleet_features.bench.value.intervals import difference, share
from fleet_features.bench.value.scoring import named
from fleet_features.bench.value.story import RELATIONS, Question

CLEARLY, MATCHES, A_TENTH = 0.2, -0.05, 0.1
ENOUGH = 50
_BARS = ((NOTHING, CLEARLY), (RANDOM, CLEARLY), (EVERYTHING, MATCHES))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an arm came to, in the order of the questions: tokens of the prompts, right answers."""

    tokens: tuple[int, ...]
    right: tuple[bool, ...]


def reported(
    questions: Sequence[Question], found: Mapping[str, Outcome], packs: Sequence[ContextPack]
) -> int:
    """Print it all; the exit code is 1 where a bar does not hold.

    Args:
        questions: those that were asked.
        found: outcomes by arm; those that were not run are missing.
        packs: of each question, for whether the decision was in it at all.
    """
    held = [_held(question, pack) for question, pack in zip(questions, packs, strict=True)]
    lines = [f"{'context':12}{'tokens':>8}{'right':>14}  95 % interval"]
    for arm, one in found.items():
        part = share(one.right)
        count = f"{sum(one.right)}/{len(one.right)} {part.value:.0%}"
        ends = f"{part.low:.1%} to {part.high:.1%}"
        lines.append(f"{arm:12}{statistics.mean(one.tokens):8.0f}{count:>14}  {ends}")
    lines += ["", f"{'relation':12}{'asked':>6}{'in pack':>9}" + "".join(f"{a:>12}" for a in found)]
    for relation in RELATIONS:
        at = [i for i, question in enumerate(questions) if question.relation == relation]
        counts = "".join(f"{sum(one.right[i] for i in at):>12}" for one in found.values())
        lines.append(f"{relation:12}{len(at):>6}{sum(held[i] for i in at):>9}{counts}")
    if len(questions) < ENOUGH:
        lines += ["", f"a trial: fewer than {ENOUGH} questions"]
    sys.stdout.write("\n".join(lines) + "\n\n")
    return report("context-value", 1, figures(found, held))


def figures(found: Mapping[str, Outcome], held: Sequence[bool]) -> list[Figure]:
    """The figures; where one has three values they are low end, estimate and high end."""
    made = []
    for arm in (arm for arm in ARMS if arm in found):
        made.append(Figure(f"right, {arm}", share(found[arm].right).values, "share", "higher"))
        made.append(Figure(f"tokens, {arm}", _mean(found[arm].tokens), "tokens", "lower"))
    if PACK not in found:
        return made
    pack = found[PACK]
    made.append(Figure("value in the pack", share(held).values, "share", "higher"))
    for other, bar in _BARS:
        if other in found:
            gap = difference(pack.right, found[other].right)
            made.append(Figure(f"pack - {other}", gap.values, "share", "higher"))
            name = f"pack - {other}, low end"
            made.append(Figure(name, (gap.low,), "share", "higher", bar))
    if EVERYTHING in found:
        ratio = statistics.mean(pack.tokens) / statistics.mean(found[EVERYTHING].tokens)
        name = f"tokens, pack / {EVERYTHING}"
        made.append(Figure(name, (ratio,), "ratio", "lower", A_TENTH))
    return made


def _held(question: Question, pack: ContextPack) -> bool:
    """Whether the pack names the value at all."""
    return named(question.fact.value, pack.text)


def _mean(tokens: Sequence[int]) -> tuple[float, float, float]:
    return (min(tokens), statistics.mean(tokens), max(tokens))
