"""The model of a deployment: one server whose script is exchanged from scenario to scenario."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fleet_adapters.scripted.answering import Answers, Asked, NoAnswer, Reply, ScriptedAnswers
from fleet_adapters.scripted.script import Script
from fleet_adapters.scripted.server import ScriptedServer, serve


@dataclass
class _Exchanged(Answers):
    now: Answers | None = None

    def reply(self, asked: Asked) -> Reply:
        if self.now is None:
            raise NoAnswer("no scenario has given a script")
        return self.now.reply(asked)


@dataclass
class ModelServer:
    """A server at one address.

    Attributes:
        server: its counts; those of the scenario that gave the script.
    """

    server: ScriptedServer
    _answers: _Exchanged = field(repr=False)

    def begin(self, answers: Answers) -> None:
        """Answer from now on like this, and count anew; nothing may be in flight."""
        server = self.server
        assert server.in_flight == 0, f"{server.in_flight} calls of an earlier scenario go on"
        server.calls.clear()
        server.seen.clear()
        server.most_in_flight = server.cancelled = 0
        self._answers.now = answers

    def begin_script(self, script: Script) -> None:
        """The same with a script."""
        self.begin(ScriptedAnswers(script))


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """A server that refuses every call until it is given answers."""
    answers = _Exchanged()
    async with serve(answers) as server:
        yield ModelServer(server, answers)
