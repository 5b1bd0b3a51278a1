"""The models that a server lists."""

from __future__ import annotations

import asyncio
import json

import aiohttp
from multidict import CIMultiDict

from fleet_adapters.chat_http import _errors
from fleet_adapters.chat_http.endpoints import Endpoint
from fleet_core.errors import ModelRefused, ModelUnavailable

_PATIENCE_S = 5.0
_MOST_BYTES = 4 * 1024 * 1024


async def listed_models(
    session: aiohttp.ClientSession, endpoint: Endpoint, headers: CIMultiDict[str]
) -> list[str]:
    """Names of the models that an endpoint serves now.

    Raises:
        ModelUnavailable: it does not answer.
        ModelRefused: it does, but not with a list of models.
    """
    try:
        async with (
            asyncio.timeout(_PATIENCE_S),
            session.get(
                endpoint.models, headers=headers, allow_redirects=False, proxy=endpoint.proxy
            ) as response,
        ):
            if response.status != 200:
                raw = await refusal_body(response.content)
                raise _errors.of_status(
                    str(endpoint.models), response.status, response.headers, raw
                )
            raw = await capped(response.content, _MOST_BYTES)
        return [str(entry["id"]) for entry in json.loads(raw)["data"]]
    except aiohttp.ClientError as error:
        raise _errors.of_client_error(endpoint.base, error) from error
    except TimeoutError:
        raise ModelUnavailable(
            f"{endpoint.models} did not answer within {_PATIENCE_S:.0f} s", _errors.UNREACHABLE_HINT
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ModelRefused(
            f"{endpoint.models} does not list models", "check model.base_url"
        ) from None


async def capped(content: aiohttp.StreamReader, most: int) -> bytes:
    """The whole body; ValueError where it is longer than `most` bytes."""
    first = await content.readany()
    if content.at_eof():
        return first
    parts, size = [first], len(first)
    while data := await content.readany():
        parts.append(data)
        size += len(data)
        if size > most:
            raise ValueError(f"an answer of more than {most} bytes")
    return b"".join(parts)


async def refusal_body(content: aiohttp.StreamReader) -> bytes:
    """As much of an error's body as a message needs."""
    try:
        return await capped(content, 64 * 1024)
    except (ValueError, aiohttp.ClientError):
        return b""  # the status says enough
