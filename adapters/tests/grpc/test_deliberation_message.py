"""A message of a deliberation leaves nothing out but the context pack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from fleet_adapters.grpc._deliberations import deliberation_message
from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_core.domain.codec import to_data
from fleet_core.domain.context import ContextPack
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding, Dissent
from fleet_core.domain.deliberation import (
    Deliberation,
    Ended,
    JobRecord,
    Phase,
    ProtocolSpec,
    Step,
)
from fleet_core.domain.job import Evidence, Failure, JobKey, Outcome, Standing
from fleet_core.domain.lease import Lease, Slice
from fleet_core.domain.model_call import Binding, Price, Sampling, Usage
from fleet_core.domain.plan import CheckSpec, Task

pytestmark = pytest.mark.anyio

EVIDENCE = Evidence("python", Standing.NOT_RUN, "no sandbox", "printed", 0.25)
AGENT = Agent(
    "ann", 1, "DEV", "bold", Binding("big", "m", structured=False, price=Price(1, 2)),
    Sampling(0.1, 0.2, 3, 0, ("END",)),
)  # fmt: skip
FULL = Deliberation(
    deliberation_id="d", plan_id="p", story="s", attempt=2,
    task=Task(
        "t1", "title", "DEV", "description", ("a",), ("c",), ("t0",),
        (CheckSpec("python", required=True, spec={"tests": "x"}),), "vote", "test",
    ),
    council=Council("DEV", (AGENT,)),
    protocol=ProtocolSpec("vote", 2, 3, 0.75, 4, AGENT, {"x": [1.5]}),
    lease=Lease(1, 2, 3, 4, 5, 6, 7, 8),
    started_ms=9, version=10, phase=Phase.PROVISIONAL, known_tasks=("t0",),
    pack=ContextPack("s", "t1", "DEV", "text", 1, 2, 3, "estimate"),
    steps=(
        Step(
            1, 2, "propose", 3, 4,
            (
                JobRecord(
                    "j", "ann", JobKey(1, "propose", 1, 2), Slice(1, 2, 3, 4, 5), "digest",
                    ("x", "y"),
                    Ended(
                        Outcome.FAILED, "text", "stop", EVIDENCE, Usage(1, 2, 3, 4), 5,
                        Failure("deadline", "late"), late=True,
                    ),
                ),
            ),
            6,
        ),
    ),
    exhausted=True, amended=True,
    decision=Decision(
        "id", "d", "s", "p", "t1", "DEV", "title", "rationale", "text", "ann",
        DecisionStanding.REFUTED, "ballots", 11, (EVIDENCE,),
        (Alternative(("bob",), "other", "worse", "hash"),),
        (Dissent("bob", ("hash",), "mine"),), ("t0",), ("bob",), ("d0",),
    ),
    failure=Failure("cancelled", "why"), ended_ms=12, notes=("a note",),
)  # fmt: skip


def missing(told: Any, data: Any, at: str = "") -> list[str]:
    """Paths of what `data` holds and the message does not, or differently."""
    if isinstance(data, dict):
        return [
            path
            for key, value in data.items()
            for path in (
                missing(told.get(key), value, f"{at}.{key}")
                if f"{key}_json" not in told
                else []
                if json.loads(told[f"{key}_json"]) == value
                else [f"{at}.{key}_json"]
            )
        ]
    if isinstance(data, list | tuple):
        if not isinstance(told, list) or len(told) != len(data):
            return [at]
        pairs = enumerate(zip(told, data, strict=True))
        return [path for i, (one, other) in pairs for path in missing(one, other, f"{at}[{i}]")]
    if isinstance(data, bool | float):
        return [] if told == data else [at]
    return [] if told is not None and spelt(told).endswith(spelt(data)) else [at]


def spelt(value: object) -> str:
    """As the names of enums are: `not run` is `STANDING_NOT_RUN`."""
    return str(value).upper().replace(" ", "_")


async def test_every_member_of_a_state_is_told() -> None:
    message = await deliberation_message(FULL, InMemoryBlobStore())
    told = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    data = to_data(FULL)
    del data["pack"]  # told by the context service
    assert missing(told, data) == []
    assert told["usage"]["attempts"] == "4"
    assert told["phase"] == "PHASE_PROVISIONAL"
