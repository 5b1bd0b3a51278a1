"""Values that must not be read in a log or a trace, and texts without them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_NAMES = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|SEED)S?$", re.IGNORECASE
)
_LONG = 8  # of a variable's value: what is shorter may be any word
_LINE = 16  # of a key or a file of credentials, whose lines may turn up one by one
_WORD = 4  # what is shorter is hidden only where it stands alone
_USER_INFO = re.compile(r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)")


class Masks:
    """Knows secrets, once they were asked for, and takes them out of texts.

    Args:
        environ: values of variables that are named like secrets are hidden from the start.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for name, value in (environ or {}).items():
            if _NAMES.search(name) and len(value) >= _LONG:
                self.remember(value)

    def remember(self, value: str) -> None:
        """Hide that value from now on, also as URLs and Python's `repr` write it."""
        parts = [value, value.strip(), *(p for p in value.splitlines() if len(p.strip()) >= _LINE)]
        found = {spelled for part in parts for spelled in _spellings(part.strip())} - {""}
        if found - self._values:
            self._values |= found
            self._pattern = re.compile("|".join(map(_matching, _longest_first(self._values))))

    def resolving(self, secret: Callable[[str], str]) -> Callable[[str], str]:
        """The resolver, whose values are hidden from then on."""

        def resolved(name: str) -> str:
            value = secret(name)
            self.remember(value)
            return value

        return resolved

    def hidden(self, text: str) -> str:
        """The text without what it may not say; passwords in URLs are never said."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        return _USER_INFO.sub(HIDDEN, text) if "://" in text else text


def _spellings(value: str) -> Iterable[str]:
    return value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1]


def _longest_first(values: Iterable[str]) -> list[str]:
    return sorted(values, key=len, reverse=True)


def _matching(value: str) -> str:
    exact = re.escape(value)
    return exact if len(value) >= _WORD else rf"(?<!\w){exact}(?!\w)"
