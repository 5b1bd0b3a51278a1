"""Where a proposal's text keeps its Python code. Pure, and never parses what an agent wrote."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<tag>[\w+.-]*)[^\n`]*$", re.MULTILINE
)
_PYTHON = ("python", "py", "python3")


@dataclass(frozen=True, slots=True)
class Code:
    """Code; `fenced` is False where it is the whole text, which may then be none at all."""

    text: str
    fenced: bool


def python_code(proposal: str, entry: str = "") -> Code | None:
    """The code of a proposal.

    Of the fenced blocks tagged `python`, `py` or `python3` (or, where no block is so tagged, of
    those without a tag): the last one that defines `entry`, else the last one. A fence that is
    never closed reaches to the end. Without any fence: the whole text.

    Args:
        proposal: what the agent wrote.
        entry: the function, class or name it should define; empty where none is named.

    Returns:
        None where there are only fences of other languages, or no text.
    """
    blocks = _blocks(proposal)
    if not blocks:
        return Code(proposal, fenced=False) if proposal.strip() else None
    chosen = [text for tag, text in blocks if tag in _PYTHON]
    if not chosen:
        chosen = [text for tag, text in blocks if not tag]
    if not chosen:
        return None
    defining = [text for text in chosen if entry and _defines(text, entry)]
    return Code((defining or chosen)[-1], fenced=True)


def any_code(proposal: str) -> Code | None:
    """The last fenced block, whatever its language; without any fence the whole text."""
    blocks = _blocks(proposal)
    if blocks:
        return Code(blocks[-1][1], fenced=True)
    return Code(proposal, fenced=False) if proposal.strip() else None


def _blocks(proposal: str) -> list[tuple[str, str]]:
    """Each fenced block's tag in lower case and its text."""
    found: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(proposal):
        if opened is None:
            opened = fence
        elif fence["marks"].startswith(opened["marks"]) and not fence["tag"]:
            found.append(_block(opened, proposal[opened.end() : fence.start()]))
            opened = None
    if opened is not None:
        found.append(_block(opened, proposal[opened.end() :]))
    return found


def _block(opened: re.Match[str], text: str) -> tuple[str, str]:
    text = text.removeprefix("\n")
    return opened["tag"].lower(), textwrap.dedent(text) if opened["indent"] else text


def _defines(text: str, name: str) -> bool:
    plain = re.escape(name)
    return bool(
        re.search(
            rf"^(?:async\s+def|def|class)\s+{plain}\b|^{plain}\s*(?::[^=\n]*)?=(?!=)",
            text,
            re.MULTILINE,
        )
    )
