from __future__ import annotations

import pytest

from fleet_core.domain.job import AgentJob, JobKey, ModelCall
from fleet_core.domain.job_header import format_header, parse_header
from fleet_core.domain.lease import Slice
from fleet_core.domain.model_call import Message, ModelRequest, Sampling, Speaker
from fleet_core.errors import DecodeError


def test_a_job_is_found_again_from_its_header() -> None:
    request = ModelRequest("default", "m", (Message(Speaker.USER, "hi"),), Sampling())
    job = AgentJob(
        "j", "d", "p", "story", "login-1", "t", "a", "DÉV\n", JobKey(2, "critique", 3, 1),
        ModelCall(request), Slice(),
    )  # fmt: skip
    header = format_header(job)
    assert header.isascii()
    assert header.isprintable()  # it goes into an HTTP header
    assert parse_header(header) == {
        "task": "login-1",
        "role": "DÉV\n",
        "agent": 3,
        "step": "critique",
        "round": 2,
        "sample": 1,
    }


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", ""),
        ("[]", ""),
        ("{}", "task"),
        ('{"task":"t","role":"DEV","agent":"1","step":"s","round":1,"sample":0}', "agent"),
        ('{"task":"t","role":"DEV","agent":true,"step":"s","round":1,"sample":0}', "agent"),
        ('{"task":"t","role":"DEV","agent":1,"step":"s","round":1}', "sample"),
    ],
)
def test_what_is_no_header_is_refused(text: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_header(text)
    assert caught.value.field == field
