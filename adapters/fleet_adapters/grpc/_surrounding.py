"""A server interceptor that puts one and the same context manager around every RPC."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Around = Callable[[str, Context], AbstractAsyncContextManager[None]]
"""Given the method's full name (`/package.Service/Method`) and the RPC's context."""


class Surrounding(grpc.aio.ServerInterceptor):
    """The interceptors given first to a server are the outer ones.

    Args:
        around: entered before the RPC's own code, left after its last answer.
    """

    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See the driver."""
        handler = await continuation(handler_call_details)
        if handler is None:  # there is no such method: the driver answers UNIMPLEMENTED
            return handler
        method = str(handler_call_details.method)
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            inner = self._answering(handler.unary_unary, method)
            return grpc.unary_unary_rpc_method_handler(inner, *serializers)
        if handler.stream_unary is not None:
            inner = self._answering(handler.stream_unary, method)
            return grpc.stream_unary_rpc_method_handler(inner, *serializers)
        if handler.unary_stream is not None:
            inner = self._streaming(handler.unary_stream, method)
            return grpc.unary_stream_rpc_method_handler(inner, *serializers)
        inner = self._streaming(handler.stream_stream, method)
        return grpc.stream_stream_rpc_method_handler(inner, *serializers)

    def _answering(self, inner: Any, method: str) -> Any:
        around = self._around

        async def answer(request: Any, context: Context) -> Any:
            async with around(method, context):
                return await inner(request, context)

        return answer

    def _streaming(self, inner: Any, method: str) -> Any:
        around = self._around
        if not inspect.isasyncgenfunction(inner):  # it writes to the context itself
            return self._answering(inner, method)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(method, context):
                async for answer in inner(request, context):
                    yield answer

        return stream
