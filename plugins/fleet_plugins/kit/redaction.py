"""Secrets out of texts, before an agent is told them: found by detect-secrets, replaced by name.

What looks like a secret by its form (keys and tokens of known services, private keys, passwords in
URLs) or by what stands before it (`password = "..."`). Its detectors by entropy are off: they take
hashes and identifiers for secrets. Nothing is asked of any service.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_LARGE = 20_000  # characters that are looked through without a thread
_PLUGINS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "CloudantDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "IbmCloudIamDetector",
    "IbmCosHmacDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SoftlayerDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)
# What no detector would look at twice; most prose is passed over in a few microseconds a line.
_SUSPICIOUS = re.compile(
    r"pass|pwd|secret|token|key|auth|credential|private|://|[A-Za-z0-9+/_=.\-]{20,}", re.IGNORECASE
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----")
_KEY_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY[A-Z ]*)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
)
_WORD = r"[A-Za-z0-9+/_=.:~\-]*"


async def redacted(texts: Sequence[str]) -> list[str]:
    """The texts, each secret replaced by `[redacted: its kind]`; the same text gives the same."""
    if sum(map(len, texts)) <= _LARGE:
        return [_redacted(text) for text in texts]
    return await asyncio.to_thread(lambda: [_redacted(text) for text in texts])


@lru_cache(maxsize=1024)
def _redacted(text: str) -> str:
    if _KEY_BEGIN.search(text):
        text = _KEY_BLOCK.sub("[redacted: Private Key]", text)
    if not _SUSPICIOUS.search(text):
        return text
    lines = text.split("\n")
    doubtful = [number for number, line in enumerate(lines) if _SUSPICIOUS.search(line)]
    for number, found in zip(doubtful, _found([lines[n] for n in doubtful]), strict=True):
        for kind, value in found:
            lines[number] = _without(lines[number], kind, value)
    return "\n".join(lines)


def _without(line: str, kind: str, value: str) -> str:
    """The line without a secret, of which a detector may name a part only."""
    mark = f"[redacted: {kind}]"
    return re.sub(_WORD + re.escape(value) + _WORD, lambda _: mark, line)


def _found(lines: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Kind and value of what is found in each line, the longest value first."""
    # Imported when there is something to look at: it takes a fifth of a second.
    from detect_secrets.core import scan  # noqa: PLC0415 -- as above
    from detect_secrets.settings import transient_settings  # noqa: PLC0415 -- as above

    plugins: list[dict[str, Any]] = [{"name": name} for name in _PLUGINS]
    with transient_settings({"plugins_used": plugins}):
        found = [
            {(secret.type, secret.secret_value or "") for secret in scan.scan_line(line)}
            for line in lines
        ]
    return [sorted((f for f in one if f[1]), key=lambda f: (-len(f[1]), f)) for one in found]
