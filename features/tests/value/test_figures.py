"""The rule by which an answer is right, and the intervals, against values that are published."""

from __future__ import annotations

import json

import pytest

from fleet_core.domain.context import ContextPack
from fleet_features.bench.value.intervals import difference, share
from fleet_features.bench.value.outcome import Outcome, reported
from fleet_features.bench.value.scoring import right
from fleet_features.bench.value.story import story


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("def berth_port():\n    return 7431", True),
        ("return '7431'.", True),
        ("return 17431", False),
        ("return 7431_0", False),
        ("return 7431  # not 8205", False),
        ("return 8205", False),
        ("", False),
    ],
)
def test_an_answer_names_the_value_and_no_other(answer: str, expected: bool) -> None:
    assert right(answer, "7431", {"7431", "8205"}) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('return "x-amber-quill"', True),
        ('return "X-Amber-Quill-Id"', False),
        ('return "X_Amber_Quill"', False),
    ],
)
def test_a_name_is_whole_and_in_whatever_case(answer: str, expected: bool) -> None:
    assert right(answer, "X-Amber-Quill", {"X-Amber-Quill"}) is expected


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # Newcombe 1998, interval estimation for a single proportion, table I: method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_wilson_gives_what_is_published(count: int, of: int, low: float, high: float) -> None:
    found = share([True] * count + [False] * (of - count))

    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_the_paired_difference_gives_what_is_published() -> None:
    # Newcombe 1998, paired data: 36 both, 12 the first only, 2 the second only; method 10
    first = [True] * 48 + [False] * 2
    second = [True] * 36 + [False] * 12 + [True] * 2
    found = difference(first, second)

    assert found.values == pytest.approx((0.0569, 0.2, 0.3404), abs=5e-5)


def test_the_difference_is_that_of_the_other_way_round() -> None:
    first, second = [True] * 30 + [False] * 20, [True, False] * 25
    one, other = difference(first, second), difference(second, first)

    assert one.values == pytest.approx(tuple(-v for v in reversed(other.values)))
    assert difference(first, first).value == 0


def test_the_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        share([])


@pytest.mark.parametrize(("right_by_pack", "code"), [(70, 0), (20, 1)])
def test_the_report_says_which_bars_hold(
    right_by_pack: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = story(7).questions
    empty = ContextPack("s", "t", "DEV", "", 1, 700, 0, "estimate")

    def outcome(tokens: int, count: int) -> Outcome:
        return Outcome((tokens,) * 80, (True,) * count + (False,) * (80 - count))

    found = {
        "nothing": outcome(250, 2),
        "everything": outcome(9000, 40),
        "pack": outcome(850, right_by_pack),
        "random": outcome(850, 5),
    }
    assert reported(questions, found, [empty] * 80) == code
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    bars = {f["name"]: f["holds"] for f in last["figures"] if f["bar"] is not None}
    assert bars["tokens, pack / everything"] is True
    assert bars["pack - everything, low end"] is (code == 0)
