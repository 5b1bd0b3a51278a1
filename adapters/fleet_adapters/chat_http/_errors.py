"""HTTP statuses and aiohttp's exceptions as model errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from fleet_core.errors import ModelError, ModelRefused, ModelUnavailable, RateLimited

_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")
_RETRYABLE = frozenset({408, 425})
UNREACHABLE_HINT = (
    "start that server, or name another with --set model.base_url=URL or FLEET_MODEL__BASE_URL"
)


def of_status(
    url: str, status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None
) -> ModelError:
    """The error that an answer other than 200 stands for."""
    said = f"{url} answered {status}: {shortened(_message(body))}"
    if status == 429:
        pause = retry_after_ms(headers, now or datetime.now(UTC))
        return RateLimited(said, "ask less at once, or wait", retry_after_ms=pause)
    if status >= 500 or status in _RETRYABLE:
        return ModelUnavailable(said, "look at that server's log")
    return ModelRefused(said, _hint(status))


def of_client_error(url: str, error: aiohttp.ClientError) -> ModelError:
    """The error that a failed connection stands for."""
    if isinstance(error, aiohttp.ClientSSLError):
        return ModelRefused(
            f"no trust in {url}: {shortened(str(error))}",
            "have SSL_CERT_FILE name the authority that signed its certificate",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number) if number and number > 0 else str(error.os_error)
        return ModelUnavailable(f"no answer from {url}: {shortened(reason)}", UNREACHABLE_HINT)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return ModelUnavailable(f"{url} closed the connection without an answer", UNREACHABLE_HINT)
    reason = shortened(str(error)) or type(error).__name__
    return ModelUnavailable(f"no answer from {url}: {reason}", UNREACHABLE_HINT)


def of_error_object(url: str, error: Any) -> ModelError:
    """The error that a server sent within an answer of status 200."""
    said = f"{url} broke off: {shortened(_words(error))}"
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, int) and 400 <= code < 500 and code not in (*_RETRYABLE, 429):
        return ModelRefused(said)
    return ModelUnavailable(said, "look at that server's log")


def retry_after_ms(headers: Mapping[str, str], now: datetime) -> int:
    """What `retry-after-ms` or `Retry-After` asks for, seconds or an HTTP date; 0 for nothing."""
    exact = headers.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(exact):
        return int(float(exact))
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return int(float(text) * 1000)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0, int((when - now).total_seconds() * 1000))


def shortened(text: str) -> str:
    """One line of at most 300 characters without control characters, fit for a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    return line if len(line) <= 300 else line[:297] + "..."


def _message(body: bytes) -> str:
    try:
        data = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace") or "nothing"
    return _words(data.get("error", data) if isinstance(data, dict) else data)


def _words(error: Any) -> str:
    if isinstance(error, Mapping):
        for name in ("message", "detail", "error"):
            if isinstance(error.get(name), str):
                return str(error[name])
    return error if isinstance(error, str) else json.dumps(error)


def _hint(status: int) -> str:
    if status in (401, 403):
        return "have model.api_key name the secret that holds a key for this server"
    if status in (404, 405):
        return "check model.model, and that model.base_url ends where /chat/completions begins"
    if 300 <= status < 400:
        return "set model.base_url to where it points"
    return ""
