"""The JSON body of a chat completion."""

from __future__ import annotations

from typing import Any

from fleet_core.domain.model_call import ModelRequest
from fleet_plugins.kit.json_bytes import dump_wire


def request_body(
    request: ModelRequest, *, model: str, stream: bool, structured: bool, limit_field: str
) -> bytes:
    """The body, UTF-8 JSON.

    Args:
        request: what is asked.
        model: the name to ask for.
        stream: whether the answer comes as server-sent events, its usage last.
        structured: whether the request's schema is sent along.
        limit_field: the name under which the server knows the longest answer.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        # a StrEnum is text to the encoder; its value need not be looked up
        "messages": [{"role": m.speaker, "content": m.text} for m in request.messages],
        "temperature": sampling.temperature,
        limit_field: sampling.max_tokens,
    }
    if sampling.top_p != 1.0:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = sampling.stop
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if structured and request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
        }
    return dump_wire(body)
