from __future__ import annotations

import asyncio

import pytest

from fleet_plugins.kit import trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_child_stays_in_the_trace_with_a_span_of_its_own() -> None:
    version, trace_id, span_id, flags = trace.child(PARENT).split("-")
    assert (version, trace_id, flags) == ("00", PARENT.split("-")[1], "01")
    assert span_id != PARENT.split("-")[2]
    assert trace.valid(trace.child(PARENT))
    assert trace.child(PARENT[:-2] + "00").endswith("-00")


def test_without_a_valid_parent_a_trace_begins() -> None:
    first, second = trace.child(), trace.child("nonsense")
    assert trace.valid(first)
    assert trace.valid(second)
    assert first.split("-")[1] != second.split("-")[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        PARENT[:-1],
        PARENT.upper(),
        PARENT + "-more",
        "ff" + PARENT[2:],
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)
def test_what_is_no_trace_context_is_none(text: str) -> None:
    assert not trace.valid(text)


def test_a_later_version_may_hold_more() -> None:
    assert trace.valid("01" + PARENT[2:] + "-more")


@pytest.mark.anyio
async def test_tasks_keep_the_trace_they_began_in() -> None:
    async def current() -> str:
        await asyncio.sleep(0)
        return trace.current()

    with trace.within(PARENT):
        task = asyncio.create_task(current())
    assert trace.current() == ""
    assert await task == PARENT
