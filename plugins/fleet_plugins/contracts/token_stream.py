"""What every TokenStream must do.

Subclass `TokenStreamContract` in your adapter's tests and give it a fixture `tokens`: an open
stream. The suite asks for no piece in particular to arrive while the listener is behind: the port
is lossy. It asks that what arrives is right, and in order within a job.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from fleet_core.ports.token_stream import TokenStream, Words

_DEADLINE_S = 20.0


def _words(task: str, offset: int, text: str, job: str = "job-1") -> Words:
    return Words("deliberation-1", task, "dev-1", job, offset, text)


async def _until(heard: AsyncIterator[Words], end: int) -> list[Words]:
    pieces = []
    async with asyncio.timeout(_DEADLINE_S):
        async for words in heard:
            pieces.append(words)
            if words.offset + len(words.text) >= end:
                return pieces
    raise AssertionError("the stream ended")


@pytest.mark.anyio
class TokenStreamContract:
    """Live, lossy, coalesced."""

    @pytest.fixture
    def tokens(self) -> TokenStream:
        """The stream under test."""
        raise NotImplementedError("give your subclass a fixture `tokens`")

    @pytest.fixture
    def task(self) -> str:
        """A task token that no other test uses."""
        return f"{uuid.uuid4().hex[:12]}-T1"

    async def test_words_arrive_as_said(self, tokens: TokenStream, task: str) -> None:
        """With their origin and offset, for the listener of the task and of all tasks."""
        async with tokens.listen(task) as one, tokens.listen() as every:
            said = _words(task, 5, "h\x00é\U0001f600")
            tokens.say(said)
            assert await _until(one, 9) == [said]
            async with asyncio.timeout(_DEADLINE_S):
                while await anext(every) != said:
                    pass

    async def test_other_tasks_are_not_heard(self, tokens: TokenStream, task: str) -> None:
        """A listener of one task hears nothing else."""
        async with tokens.listen(task) as heard:
            tokens.say(_words(f"{task}-other", 0, "no"))
            tokens.say(_words(task, 0, "yes"))
            assert [w.text for w in await _until(heard, 3)] == ["yes"]

    async def test_a_listener_that_falls_behind_gets_pieces_joined(
        self, tokens: TokenStream, task: str
    ) -> None:
        """Adjacent ones of one job, nothing twice, and fewer than were said."""
        async with tokens.listen(task) as heard:
            for offset in range(1000):
                tokens.say(_words(task, offset, chr(97 + offset % 26)))
            pieces = await _until(heard, 1000)
        whole = "".join(chr(97 + offset % 26) for offset in range(1000))
        end = 0
        for words in pieces:
            assert words.offset >= end
            end = words.offset + len(words.text)
            assert words.text == whole[words.offset : end]
        assert len(pieces) < 1000

    async def test_jobs_are_not_mixed(self, tokens: TokenStream, task: str) -> None:
        """Two answers that arrive interleaved stay two answers; a gap is not closed."""
        async with tokens.listen(task) as heard:
            for offset in range(10):
                tokens.say(_words(task, offset, "a", "job-a"))
                tokens.say(_words(task, offset, "b", "job-b"))
            tokens.say(_words(task, 50, "a", "job-a"))
            tokens.say(_words(task, 99, "!", "job-end"))
            pieces = await _until(heard, 100)
        for job, letter in (("job-a", "a"), ("job-b", "b")):
            assert set("".join(w.text for w in pieces if w.job_id == job)) <= {letter}
        assert all(w.offset == 50 for w in pieces if w.offset + len(w.text) == 51)

    async def test_saying_never_waits_and_keeps_no_more_than_it_may(
        self, tokens: TokenStream, task: str
    ) -> None:
        """A listener that does not listen costs bounded memory; the newest gets through."""
        piece = "x" * 10_000
        async with tokens.listen(task) as heard:
            for number in range(1000):
                tokens.say(_words(task, number * len(piece), piece))
            pieces = await _until(heard, 1000 * len(piece))
        assert sum(len(words.text) for words in pieces) < 1000 * len(piece)

    async def test_heard_says_whether_anybody_listens(self, tokens: TokenStream, task: str) -> None:
        """So that nobody need stream for nobody."""
        assert not tokens.heard(task)
        async with tokens.listen(task):
            assert tokens.heard(task)
            assert not tokens.heard(f"{task}-other")
        async with tokens.listen():
            assert tokens.heard(task)
        assert not tokens.heard(task)
        tokens.say(_words(task, 0, "into the void"))
