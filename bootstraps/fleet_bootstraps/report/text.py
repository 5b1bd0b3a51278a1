"""Text from agents and files, made safe to show: on a terminal, and within Markdown."""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~&])")
_KEPT = "\n\t"


def printable(text: str) -> str:
    r"""The text with everything that steers a terminal or hides written out, e.g. `\x1b`.

    That is control and format characters (escape sequences, carriage returns, bidirectional
    overrides, zero-width characters), line separators and lone surrogates. New lines and tabs
    stay.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c in _KEPT or _harmless(c) else _written_out(c) for c in text)


def _harmless(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _written_out(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, limit: int = 0) -> str:
    """Printable, on one line; with a limit, shortened to so many characters."""
    line = " ".join(printable(text).split())
    return f"{line[: limit - 3]}..." if limit and len(line) > limit else line


def inline(text: str) -> str:
    """One line of Markdown that shows the text and does nothing else."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def fenced(text: str, language: str = "text") -> str:
    """A fenced block; its fence is longer than any run of backticks within."""
    shown = printable(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"
