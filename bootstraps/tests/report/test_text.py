from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from fleet_bootstraps.report.text import fenced, inline, one_line, printable


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_steers_a_terminal_gets_through(text: str) -> None:
    for shown in (printable(text), inline(text), fenced(text)):
        assert not {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs"}} - {
            "\n",
            "\t",
        }
    assert "\n" not in one_line(text)


@given(st.text(st.characters(codec="ascii", categories=("L", "P", "Zs", "N"))))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


@given(st.text("`~ab\n", max_size=40))
def test_a_fence_is_longer_than_any_within(text: str) -> None:
    first, *within, last = fenced(text).split("\n")

    fence = first.removesuffix("text")
    assert set(fence) == {"`"}
    assert last == fence
    assert all(fence not in line for line in within)


def test_markdown_is_shown_and_not_obeyed() -> None:
    assert inline("[a](http://b) <b> `c` |\n# d") == r"\[a\](http://b) \<b\> \`c\` \| \# d"


def test_long_lines_are_shortened() -> None:
    assert one_line("abcdefgh", 6) == "abc..."
