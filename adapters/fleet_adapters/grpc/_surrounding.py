"""The one server interceptor: puts the same context managers around every RPC."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Around = Callable[[str, Context], AbstractAsyncContextManager[None]]
"""Given the method's full name (`/package.Service/Method`) and the RPC's context."""


class Surrounding(grpc.aio.ServerInterceptor):
    """Wraps each method once, at its first call; one interceptor costs less than several.

    Args:
        arounds: entered in this order before the RPC's own code, left in reverse after its last
            answer.
    """

    def __init__(self, arounds: Sequence[Around]) -> None:
        self._arounds = tuple(arounds)
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See the driver."""
        method = str(handler_call_details.method)
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:  # there is no such method: the driver answers UNIMPLEMENTED
            return handler
        wrapped = self._wrapped[method] = self._around(handler, method)
        return wrapped

    def _around(self, handler: Handler, method: str) -> Handler:
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            inner = self._each(_answering, handler.unary_unary, method)
            return grpc.unary_unary_rpc_method_handler(inner, *serializers)
        if handler.stream_unary is not None:
            inner = self._each(_answering, handler.stream_unary, method)
            return grpc.stream_unary_rpc_method_handler(inner, *serializers)
        if handler.unary_stream is not None:
            inner = self._each(_streaming, handler.unary_stream, method)
            return grpc.unary_stream_rpc_method_handler(inner, *serializers)
        inner = self._each(_streaming, handler.stream_stream, method)
        return grpc.stream_stream_rpc_method_handler(inner, *serializers)

    def _each(self, wrap: Callable[[Any, Around, str], Any], inner: Any, method: str) -> Any:
        for around in reversed(self._arounds):
            inner = wrap(inner, around, method)
        return inner


def _answering(inner: Any, around: Around, method: str) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        async with around(method, context):
            return await inner(request, context)

    return answer


def _streaming(inner: Any, around: Around, method: str) -> Any:
    if not inspect.isasyncgenfunction(inner):  # it writes to the context itself
        return _answering(inner, around, method)

    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        async with around(method, context), aclosing(inner(request, context)) as answers:
            async for answer in answers:
                yield answer

    return stream
