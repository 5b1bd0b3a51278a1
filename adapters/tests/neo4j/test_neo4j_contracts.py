"""The contract suites over the neo4j adapter, on a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.contracts.context_graph import (
    ContextGraphContract,
    DurableContextGraphContract,
    SharedContextGraphContract,
)

Reopen = Callable[[], Awaitable[ContextGraph]]
pytestmark = pytest.mark.connected


class TestNeo4jContextGraph(
    ContextGraphContract, DurableContextGraphContract, SharedContextGraphContract
):
    @pytest.fixture
    async def graph(self, opener: Any) -> ContextGraph:
        graph: ContextGraph = await opener.open()
        return graph

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopen: Reopen = opener.reopen
        return reopen

    @pytest.fixture
    async def another(self, opener: Any) -> ContextGraph:
        graph: ContextGraph = await opener.open()
        return graph
