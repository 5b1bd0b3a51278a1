"""What is kept lately: no more than the weight allows, the first put in forgotten first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleet_core.recent import Recent


def test_the_first_put_in_goes_first() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.put("a", 1, 4)
    recent.put("b", 2, 4)
    assert recent.get("a") == 1
    recent.put("c", 3, 4)
    assert recent.each(["a", "b", "c", "b"]) == [None, 2, 3, 2]
    recent.put("b", 5, 1)
    recent.put("d", 4, 5)
    assert recent.each("abcd") == [None, 5, 3, 4]
    recent.put("e", 6, 11)
    assert recent.get("e") is None
    recent.put("c", 0, 11)
    assert recent.each("bcde") == [5, None, 4, None]
    recent.clear()
    assert recent.each("abcde") == [None] * 5


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30))), st.integers(1, 40))
def test_it_never_weighs_more_and_forgets_no_more_than_it_must(
    puts: list[tuple[int, int]], most: int
) -> None:
    recent: Recent[int, int] = Recent(most)
    kept: list[tuple[int, int]] = []
    for key, weight in puts:
        recent.put(key, weight, weight)
        kept = [one for one in kept if one[0] != key]
        if weight <= most:
            kept.append((key, weight))
        while sum(one[1] for one in kept) > most:
            kept.pop(0)
        assert recent.each(range(10)) == [dict(kept).get(key) for key in range(10)]
