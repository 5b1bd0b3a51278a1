"""Token counts from a server's own tokenizer."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import aiohttp

from fleet_adapters.chat_http import _errors
from fleet_adapters.chat_http.endpoints import Endpoint
from fleet_core.errors import ModelUnavailable

_AT_ONCE = 8
_BATCH = 64
_BETWEEN = -1  # no token has this id, so it can stand between the texts of one batch


class Tokenizer(Protocol):
    """How one kind of server counts."""

    @abstractmethod
    async def count(self, post: Post, model: str, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""


class Post:
    """POSTs JSON to the `/tokenize` of one server."""

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, headers: Mapping[str, str]
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._headers = headers

    async def __call__(self, body: Mapping[str, Any]) -> Any:
        """The answer's JSON.

        Raises:
            ModelUnavailable: anything but that came.
        """
        try:
            return await self._once(body)
        except ModelUnavailable:  # it may have been a connection that had stood idle too long
            return await self._once(body)

    async def _once(self, body: Mapping[str, Any]) -> Any:
        url = f"{self._endpoint.root}/tokenize"
        try:
            async with self._session.post(
                url, json=body, headers=self._headers, proxy=self._endpoint.proxy
            ) as response:
                if response.status == 200:
                    return await response.json(content_type=None)
                error = _errors.of_status(
                    url, response.status, response.headers, await response.content.read(65536)
                )
        except aiohttp.ClientError as failure:
            raise _errors.of_client_error(self._endpoint.root, failure) from failure
        except ValueError:
            raise _no_counts(url) from None
        raise ModelUnavailable(error.message, "check model.tokenizer")


class VllmTokenizer(Tokenizer):
    """vLLM counts one text a request."""

    async def count(self, post: Post, model: str, texts: Sequence[str]) -> list[int]:
        """See `Tokenizer.count`; some at once."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(text: str) -> int:
            body = {"prompt": text, "add_special_tokens": False}
            if model:
                body["model"] = model
            async with gate:
                answer = await post(body)
            try:
                return int(answer["count"])
            except (KeyError, TypeError, ValueError):
                raise _no_counts("/tokenize") from None

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(text)) for text in texts]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # one is told; they share a server
        return [task.result() for task in tasks]


class LlamacppTokenizer(Tokenizer):
    """llama.cpp takes texts mixed with token ids: one request counts many texts."""

    async def count(
        self,
        post: Post,
        model: str,  # noqa: ARG002 -- llama.cpp serves one model
        texts: Sequence[str],
    ) -> list[int]:
        """See `Tokenizer.count`."""
        counts: list[int] = []
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            content: list[str | int] = []
            for text in batch:
                content += [text, _BETWEEN]
            answer = await post({"content": content, "add_special": False, "parse_special": False})
            counts += _between(answer, len(batch))
        return counts


def _between(answer: Any, texts: int) -> list[int]:
    counts, size = [], 0
    try:
        for token in answer["tokens"]:
            if token == _BETWEEN:
                counts.append(size)
                size = 0
            else:
                size += 1
    except (KeyError, TypeError):
        raise _no_counts("/tokenize") from None
    if len(counts) != texts:
        raise _no_counts("/tokenize")
    return counts


def _no_counts(where: str) -> ModelUnavailable:
    return ModelUnavailable(f"{where} did not answer with token counts", "check model.tokenizer")


TOKENIZERS: Mapping[str, Tokenizer | None] = {
    "none": None,
    "vllm": VllmTokenizer(),
    "llamacpp": LlamacppTokenizer(),
}
