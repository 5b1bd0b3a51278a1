"""What is told of a decision goes through the redactor that is asked for, and only once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fleet_core.domain.decision import DecisionStanding
from fleet_core.domain.told import NO_REDACTOR, Redactor, ToldDecision, titled, told_by

pytestmark = pytest.mark.anyio
PLAIN = ToldDecision("d", "t", "a secret", DecisionStanding.VERIFIED, "secret why", "secret text")


async def test_what_another_made_or_nobody_is_made_anew() -> None:
    looked: list[str] = []

    async def clean(texts: Sequence[str]) -> list[str]:
        looked.extend(texts)
        return [text.replace("secret", "***") for text in texts]

    ours = Redactor("R 2", clean)
    old = ToldDecision("e", "t", "secret", DecisionStanding.VERIFIED, by="R 1")
    done = ToldDecision("f", "t", "secret as it was left", DecisionStanding.VERIFIED, by="R 2")
    found = await told_by(ours, [PLAIN, done, old])
    assert found == [
        ToldDecision("d", "t", "a ***", DecisionStanding.VERIFIED, "*** why", "*** text", "R 2"),
        done,
        ToldDecision("e", "t", "***", DecisionStanding.VERIFIED, by="R 2"),
    ]
    assert await told_by(ours, found) == found
    assert looked == ["a secret", "secret why", "secret text", "secret", "", ""]


async def test_without_a_redactor_it_is_told_as_it_was_recorded() -> None:
    assert await told_by(NO_REDACTOR, [PLAIN]) == [PLAIN]
    assert titled(PLAIN).text == titled(PLAIN).rationale == ""
