"""Rare shared words first; the order stays where nothing is shared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleet_core.domain.relevance import ranked, words


def test_words_are_without_case_and_taken_apart_at_underscores() -> None:
    assert words("Parse the PRICE_list of 2024!", "of it") == {"parse", "price", "list", "2024"}


def test_a_word_that_all_have_decides_nothing() -> None:
    texts = [words("price page"), words("price table column"), words("price cents")]
    assert ranked(words("How the price is kept in cents"), texts) == [2, 0, 1]
    assert ranked(words("price"), texts) == [0, 1, 2]
    assert ranked(frozenset(), texts) == [0, 1, 2]
    assert ranked(words("anything"), []) == []


@given(st.lists(st.frozensets(st.sampled_from(["aaaa", "bbbb", "cccc", "dddd"]))))
def test_each_place_comes_once_and_ties_keep_their_order(texts: list[frozenset[str]]) -> None:
    places = ranked(frozenset(["aaaa", "bbbb"]), texts)
    assert sorted(places) == list(range(len(texts)))
    unrelated = [place for place in places if not texts[place] & {"aaaa", "bbbb"}]
    assert unrelated == sorted(unrelated)
    assert places[len(places) - len(unrelated) :] == unrelated
