"""Secrets out of texts, before an agent is told them: found by detect-secrets, replaced by name.

What looks like a secret by its form (keys and tokens of known services, private keys, passwords in
URLs) or by what stands before it (`password = "..."`). Its detectors by entropy are off: they take
hashes and identifiers for secrets. Nothing is asked of any service.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from fleet_core.domain.told import Redactor

NAME = "detect-secrets 1.5.0"
"""With its version: another one may find more, so what this one passed is looked through again."""
_LARGE = 20_000  # characters that are looked through without a thread
_SHORT = 500  # characters of a text of which many are kept
_BY_WORD = "KeywordDetector"
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
    _BY_WORD,
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
# What no detector would look at twice: lines without any of these, and without a long word.
_SUSPICIOUS = ("pass", "pwd", "secret", "token", "key", "auth", "credential", "private", "://")
_LONG = 20
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


def _redacted(text: str) -> str:
    return _short(text) if len(text) <= _SHORT else _long(text)


def _looked_through(text: str) -> str:
    if not _doubtful(text):
        return text
    if _KEY_BEGIN.search(text):
        text = _KEY_BLOCK.sub("[redacted: Private Key]", text)
    lines = text.split("\n")
    doubtful = [number for number, line in enumerate(lines) if _doubtful(line)]
    for number, found in zip(doubtful, _found([lines[n] for n in doubtful]), strict=True):
        for kind, value in found:
            lines[number] = _without(lines[number], kind, value)
    return "\n".join(lines)


# Titles come again with every pack, and a project has thousands; long texts would fill the memory.
_short = lru_cache(maxsize=16_384)(_looked_through)
_long = lru_cache(maxsize=512)(_looked_through)


def _doubtful(text: str) -> bool:
    plain = text.casefold()
    return any(word in plain for word in _SUSPICIOUS) or any(
        len(word) >= _LONG for word in text.split()
    )


def _without(line: str, kind: str, value: str) -> str:
    """The line without a secret, of which a detector may name a part only."""
    mark = f"[redacted: {kind}]"
    return re.sub(_WORD + re.escape(value) + _WORD, lambda _: mark, line)


def _found(lines: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Kind and value of what is found in each line, the longest value first."""
    suspected = [_suspected(line) for line in lines]
    if not any(suspected):
        return [[] for _ in lines]
    # Imported when there is something to look at: it takes a fifth of a second.
    from detect_secrets.core import scan  # noqa: PLC0415 -- as above
    from detect_secrets.settings import transient_settings  # noqa: PLC0415 -- as above

    plugins: list[dict[str, Any]] = [{"name": name} for name in _PLUGINS]
    with transient_settings({"plugins_used": plugins}):
        found = [
            {(secret.type, secret.secret_value or "") for secret in scan.scan_line(line)}
            if doubtful
            else set()
            for line, doubtful in zip(lines, suspected, strict=True)
        ]
    return [sorted((f for f in one if f[1]), key=lambda f: (-len(f[1]), f)) for one in found]


def _suspected(line: str) -> bool:
    """Whether a detector finds something.

    A scan finds no more, since it filters what they find, and takes ten times as long about it.
    """
    word, by_word, by_form = _detectors()
    detectors = (by_word, *by_form) if word.search(line) else by_form
    return any(True for one in detectors for _ in one.analyze_string(line))


@cache
def _detectors() -> tuple[re.Pattern[str], Any, tuple[Any, ...]]:
    """The detector by words before a value, what it never finds anything without, and the rest."""
    from detect_secrets.core.plugins.util import (  # noqa: PLC0415 -- as in _found
        get_mapping_from_secret_type_to_class,
    )
    from detect_secrets.plugins import keyword  # noqa: PLC0415 -- as in _found

    kinds: Any = get_mapping_from_secret_type_to_class()  # said to be a mapping to nothing
    made: dict[str, Any] = {kind.__name__: kind for kind in kinds.values()}
    by_form = tuple(made[name]() for name in _PLUGINS if name != _BY_WORD)
    return re.compile(keyword.DENYLIST_REGEX, re.IGNORECASE), made[_BY_WORD](), by_form


REDACTOR = Redactor(NAME, redacted)
