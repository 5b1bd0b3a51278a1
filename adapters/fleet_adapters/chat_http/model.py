"""A model behind one or several servers that speak the chat-completions protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from fleet_adapters.chat_http import _errors
from fleet_adapters.chat_http.call import Call
from fleet_adapters.chat_http.endpoints import Endpoint, Endpoints
from fleet_adapters.chat_http.listing import capped, listed_models, refusal_body
from fleet_adapters.chat_http.request_body import request_body
from fleet_adapters.chat_http.tokenizing import TOKENIZERS, Post
from fleet_adapters.chat_http.wire_answer import (
    MAX_ANSWER_BYTES,
    StreamedAnswer,
    WireAnswer,
    parse_whole,
)
from fleet_core.domain.model_call import Completion, ModelRequest, estimate_tokens
from fleet_core.errors import (
    EmptyAnswer,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    RateLimited,
    StreamCut,
)
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_plugins.kit.retry import RetryPolicy, Spent, retrying
from fleet_plugins.kit.structured import parse_structured, unfenced

_KEEPALIVE_S = 4.0  # uvicorn and llama.cpp drop idle connections after 5 s; be first


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How to talk to the servers.

    Attributes:
        base_urls: each up to and with `/v1`.
        model: the name to ask for where the request has none; empty: the one the server lists.
        key: the bearer token itself, or empty.
        stream: whether an answer that somebody listens to is streamed.
        timeout_ms: of one attempt.
        connect_timeout_ms: to a connection.
        structured: whether schemas are sent to the server.
        pool: connections at most, over all servers.
        limit_field: see `request_body`.
        tokenizer: `none`, `vllm` or `llamacpp`.
    """

    base_urls: tuple[str, ...]
    model: str = ""
    key: str = ""
    stream: bool = True
    timeout_ms: int = 120_000
    connect_timeout_ms: int = 5_000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    structured: bool = True
    pool: int = 256
    limit_field: str = "max_tokens"
    tokenizer: str = "none"


class ChatHttpModel(Model):
    """Retries, spreads calls over its servers, and holds structured answers to their schema."""

    def __init__(self, options: ChatOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._session = session
        self._endpoints = Endpoints([Endpoint(u, _proxy(u)) for u in options.base_urls])
        self._headers: CIMultiDict[str] = CIMultiDict(
            {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        )
        if options.key:
            self._headers["Authorization"] = f"Bearer {options.key}"
        self._listed = ""
        self._closed = False
        self._limits: set[asyncio.Timeout] = set()
        self._counter = TOKENIZERS[options.tokenizer]

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        """See `Model.complete`; streamed only where somebody listens and the settings allow."""
        options = self._options
        name = request.model or options.model or self._listed or await self._list_model()
        stream = options.stream and on_text is not None
        body = request_body(
            request,
            model=name,
            stream=stream,
            structured=options.structured,
            limit_field=options.limit_field,
        )
        headers = self._headers
        if budget.headers:
            headers = headers.copy()
            headers.update(budget.headers)
        spent = Spent()
        call = Call(request, body, headers, on_text if stream else None, spent)
        answer = await retrying(
            lambda deadline: self._attempt(call, deadline),
            budget=budget,
            spent=spent,
            worst_tokens=call.worst_tokens,
            policy=options.retry,
        )
        if on_text is not None and not stream:
            on_text(answer.text)
        return Completion(
            answer.text,
            answer.finish or "stop",
            spent.prompt_tokens,
            spent.answer_tokens,
            spent.estimated,
            spent.attempts,
        )

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Model.count`."""
        if self._counter is None:
            return [estimate_tokens(text) for text in texts]
        if not texts:
            return []
        endpoint = self._endpoints.pick(asyncio.get_running_loop().time())
        post = Post(self._session, endpoint, self._headers)
        try:
            async with asyncio.timeout(self._options.timeout_ms / 1000):
                return await self._counter.count(post, self._options.model, texts)
        except TimeoutError:
            raise ModelUnavailable(f"{endpoint.root}/tokenize did not answer in time") from None

    def tokenizer(self) -> str:
        """See `Model.tokenizer`."""
        if self._counter is None:
            return "estimate"
        return f"{self._options.tokenizer}:{self._options.model or self._listed or 'default'}"

    async def health(self) -> ModelHealth:
        """See `Model.health`; ready while any of the servers lists the model."""
        details = []
        for endpoint in self._endpoints.all:
            try:
                names = await self._list(endpoint)
            except ModelError as error:
                details.append(str(error))
                continue
            wanted = self._options.model
            if not wanted or wanted in names:
                return ModelHealth(
                    ready=True, detail=f"{wanted or ', '.join(names)} at {endpoint.base}"
                )
            details.append(f"{endpoint.base} serves {', '.join(names) or 'nothing'}, not {wanted}")
        return ModelHealth(ready=False, detail="; ".join(details))

    def close(self) -> None:
        """End the calls under way: a closed session would leave them waiting for their limit."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)

    async def _attempt(self, call: Call, deadline: float) -> WireAnswer:
        clock = asyncio.get_running_loop().time
        now = clock()
        endpoint = self._endpoints.pick(now)
        endpoint.outstanding += 1
        call.streamed = None
        limit = asyncio.timeout_at(min(deadline, now + self._options.timeout_ms / 1000))
        self._limits.add(limit)
        try:
            async with limit:
                if self._closed:
                    raise _closed()
                answer = await self._ask(endpoint, call)
        except TimeoutError:
            if self._closed:
                raise _closed() from None
            took = round((clock() - now) * 1000)
            self._endpoints.failed(endpoint, clock())
            call.charge_unknown()
            raise ModelUnavailable(
                f"{endpoint.base} did not finish its answer within {took} ms",
                "allow more time (model.timeout_ms, the lease's deadline) or shorter answers",
            ) from None
        except ModelError as error:
            self._note_failure(endpoint, error, clock())
            raise self._redacted(error) from error.__cause__
        finally:
            endpoint.outstanding -= 1
            self._limits.discard(limit)
        self._endpoints.served(endpoint)
        return answer

    async def _ask(self, endpoint: Endpoint, call: Call) -> WireAnswer:
        try:
            try:
                return await self._exchange(endpoint, call)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # most likely it had stood idle, and the server had closed it: a new one, at once
                call.spent.attempts += 1
                return await self._exchange(endpoint, call)
        except aiohttp.ClientError as error:
            raise _errors.of_client_error(endpoint.base, error) from error

    async def _exchange(self, endpoint: Endpoint, call: Call) -> WireAnswer:
        async with self._session.post(
            endpoint.chat,
            data=call.body,
            headers=call.headers,
            allow_redirects=False,
            proxy=endpoint.proxy,
        ) as response:
            if response.status != 200:
                raw = await refusal_body(response.content)
                raise _errors.of_status(str(endpoint.chat), response.status, response.headers, raw)
            answer = await self._read(endpoint, call, response)
            if call.on_text is not None and response.headers.get("Server") == "llama.cpp":
                response.close()  # it closes after a stream, though it says that it keeps
            return answer

    async def _read(
        self, endpoint: Endpoint, call: Call, response: aiohttp.ClientResponse
    ) -> WireAnswer:
        content = response.content
        try:
            if call.on_text is None:
                answer = parse_whole(await capped(content, MAX_ANSWER_BYTES))
            else:
                answer = await self._listen(call, call.on_text, content)
        except aiohttp.ClientError as error:
            call.charge_unknown()
            raise StreamCut(f"{endpoint.base} cut its answer: {error}") from error
        except ValueError as error:  # too long, or not a completion (`NotAnAnswer`)
            call.charge_unknown()
            raise ModelRefused(
                f"{endpoint.chat} answered with something that is no chat completion: "
                f"{_errors.shortened(str(error))}",
                "check that model.base_url ends where /chat/completions begins",
            ) from None
        call.charge(answer)
        if answer.error is not None:
            raise _errors.of_error_object(endpoint.base, answer.error)
        if not answer.complete:
            raise StreamCut(
                f"{endpoint.base} cut its answer after {len(answer.text)} characters",
                "look at that server's log",
            )
        self._accept(endpoint, call, answer)
        return answer

    async def _listen(
        self, call: Call, on_text: OnText, content: aiohttp.StreamReader
    ) -> WireAnswer:
        if call.heard:  # what an earlier attempt said is void
            on_text("")
        call.streamed = streamed = StreamedAnswer()
        while True:
            data = await content.readany()
            if not data:
                return streamed.finished()
            text = streamed.feed(data)
            if text:
                call.heard = True
                on_text(text)

    def _accept(self, endpoint: Endpoint, call: Call, answer: WireAnswer) -> None:
        if not answer.text.strip():
            if answer.refusal:
                raise ModelRefused(
                    f"the model declined: {_errors.shortened(answer.refusal)}", "ask otherwise"
                )
            raise EmptyAnswer(
                f"{endpoint.base} answered with no text (finish reason {answer.finish or 'none'})",
                "allow longer answers, or another model",
            )
        schema = call.request.schema
        if schema is not None:
            if not self._options.structured:
                answer.text = unfenced(answer.text)
            parse_structured(answer.text, schema, finish=answer.finish)

    def _note_failure(self, endpoint: Endpoint, error: ModelError, now: float) -> None:
        if isinstance(error, RateLimited):
            self._endpoints.failed(endpoint, now, at_least_s=error.retry_after_ms / 1000)
            if self._endpoints.any_awake(now):
                error.retry_after_ms = 0  # another server takes it at once
        elif isinstance(error, ModelUnavailable | StreamCut):
            self._endpoints.failed(endpoint, now)

    def _redacted(self, error: ModelError) -> ModelError:
        """A server may quote the key it was given; nothing of ours repeats it."""
        key = self._options.key
        if key and key in error.message:
            error.message = error.message.replace(key, "***")
            error.args = (error.message, error.hint)
        return error

    async def _list(self, endpoint: Endpoint) -> list[str]:
        try:
            return await listed_models(self._session, endpoint, self._headers)
        except ModelError as error:
            raise self._redacted(error) from error.__cause__

    async def _list_model(self) -> str:
        endpoint = self._endpoints.pick(asyncio.get_running_loop().time())
        names = await self._list(endpoint)
        if len(names) != 1:
            raise ModelRefused(
                f"{endpoint.base} serves {len(names)} models: "
                f"{_errors.shortened(', '.join(names))}",
                "name one with --set model.model=NAME",
            )
        self._listed = names[0]
        return self._listed


@asynccontextmanager
async def open_chat_model(options: ChatOptions) -> AsyncIterator[ChatHttpModel]:
    """A model for as long as the context is held; one session and one pool of connections."""
    connector = aiohttp.TCPConnector(
        limit=options.pool, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=60
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout_ms / 1000)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        model = ChatHttpModel(options, session)
        try:
            yield model
        finally:
            model.close()


def _closed() -> ModelUnavailable:
    return ModelUnavailable("the model was closed while it was in use")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for a URL, looked up once; none for loopback."""
    parsed = URL(url)
    host = parsed.host or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return None
    return getproxies().get(parsed.scheme)
