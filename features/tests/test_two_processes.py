"""Two commands on one plan in one FLEET_HOME share the work, and both end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fleet_features.killing import ground

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PLAN = "story: notes\ntasks: [{id: store, title: Choose, role: DEV, protocol: vote}]\n"
ROUNDS = 5


async def test_they_both_end_and_no_call_is_made_twice(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    async with ground(plan, (), 5) as place:
        for number in range(ROUNDS):
            place.server.calls.clear()
            home = tmp_path / f"home-{number}"
            running = [place.start(home), place.start(home)]
            try:
                await asyncio.gather(*(asyncio.to_thread(one.wait, 30.0) for one in running))
            finally:
                for one in running:
                    one.close()
            assert [one.ended for one in running] == [0, 0], running[0].said
            assert set(place.server.calls.values()) == {1}
