"""From what the sandboxes reported to evidence. Pure; runs on the host, out of reach."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet_adapters.sandbox.box import Report
from fleet_adapters.sandbox.inside import wire
from fleet_adapters.sandbox.inside.solution import no_other
from fleet_adapters.sandbox.inside.tests import WHOLE
from fleet_adapters.sandbox.spec import Example
from fleet_core.domain.job import Evidence, Standing

MAX_OUTPUT = 4096
MAX_FAILURES = 5
_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,16}\b")


@dataclass(frozen=True, slots=True)
class Item:
    """One example or test: its label, and why it failed or an empty text."""

    label: str
    failure: str = ""


class Opaque:
    """A returned object that is no plain data; equal to nothing that a plan can expect."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown


def matches(got: Any, expected: Any) -> bool:
    """Whether a returned value is the one that the plan's data describe.

    A tuple matches a list of the same items. True and 1 differ, as 1 and "1" do. Numbers compare
    by value; where one is a float, to a relative 1e-9 (absolute 1e-12 near zero). No other type of
    Python's matches anything, as plan data cannot write it.
    """
    if isinstance(got, bool) or isinstance(expected, bool) or got is None or expected is None:
        return got is expected
    if isinstance(expected, int | float):
        if isinstance(got, int) and isinstance(expected, int):
            return got == expected
        return isinstance(got, int | float) and _close(got, expected)
    if isinstance(expected, str):
        return isinstance(got, str) and got == expected
    if isinstance(expected, list | tuple):
        return (
            isinstance(got, list | tuple)
            and len(got) == len(expected)
            and all(matches(g, e) for g, e in zip(got, expected, strict=True))
        )
    if isinstance(expected, Mapping):
        return (
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(matches(got[key], expected[key]) for key in expected)
        )
    return False


def _close(got: float, expected: float) -> bool:
    try:
        return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12)
    except OverflowError:  # an int beyond any float
        return False


def example_item(entry: str, example: Example, report: Report) -> Item:
    """How one example went, from what its sandbox reported of it."""
    spoken = [wire.shown(arg, 80) for arg in example.args]
    spoken += [f"{key}={wire.shown(arg, 80)}" for key, arg in example.kwargs.items()]
    label = f"{entry or 'the function'}({', '.join(spoken)})"[:300]
    expected = f"raises {example.raises}" if example.raises else wire.shown(example.returns)
    if report.end != "done":
        return Item(label, f"expected {expected}, but it {report.detail}")
    got = _got(report, example)
    return Item(label, f"expected {expected}, {got}" if got else "")


def _got(report: Report, example: Example) -> str:
    """Empty where the example passed, else what came instead."""
    if report.frames:
        told = report.frames[0]
        if "unusable" in told:
            return f"but the code does not load: {spoken_error(told['unusable'])}"
        if "raised" in told:
            bases = told["raised"].get("bases") if isinstance(told["raised"], dict) else None
            if example.raises and isinstance(bases, list) and example.raises in bases:
                return ""
            return f"got {spoken_error(told['raised'])}"
        if "returned" in told:
            try:
                value = wire.unpack(told["returned"], _opaque)
            except (wire.Malformed, RecursionError):
                return "got an unreadable value"
            if not example.raises and matches(value, example.returns):
                return ""
            return f"got {wire.shown(value)}"
    return "but it ended the process instead of returning"


def _opaque(tag: str, payload: Any) -> Any:
    return Opaque(str(payload)[: wire.SHOWN]) if tag == "r" else no_other(tag, payload)


def unusable(report: Report) -> Any:
    """The exception at which the proposal's code did not load; None where it did."""
    return report.frames[0].get("unusable") if report.frames else None


def is_no_python(report: Report) -> bool:
    """Whether the code did not even parse."""
    error = unusable(report)
    return isinstance(error, dict) and error.get("class") == "SyntaxError"


def test_items(told: Report, served: Report) -> list[Item]:
    """How each test went.

    Args:
        told: the report of the tests' sandbox.
        served: what became of the proposal that the tests called.

    Raises:
        ValueError: the tests themselves are broken; says how.
    """
    names: list[str] = []
    ended: dict[str, str] = {}
    for frame in told.frames:
        if "broken" in frame:
            raise ValueError(str(frame["broken"]))
        if isinstance(frame.get("names"), list):
            names = [str(name) for name in frame["names"]]
        elif "test" in frame:
            ended[str(frame["test"])] = "" if frame.get("ok") is True else str(frame.get("text"))
    if not names:
        raise ValueError(f"the tests do not start: they {told.detail}")
    if error := unusable(served):
        return [Item(name, f"the code does not load: {spoken_error(error)}") for name in names]
    why = ended.get(WHOLE) or "not reached"
    if why == "not reached" and served.end != "done":
        why = f"not reached: the proposal {served.detail}"
    return [Item(name, ended.get(name, why)) for name in names]


def spoken_error(error: Any) -> str:
    """A reported exception in words."""
    if not isinstance(error, dict):
        return "an unreadable exception"
    text = str(error.get("text", ""))[: wire.SHOWN]
    kind = str(error.get("class", "an exception"))[:80]
    return f"{kind}: {text}" if text else kind


def evidence(kind: str, items: list[Item], noun: str, printed: str) -> Evidence:
    """Evidence over what was counted; passed only where everything passed."""
    failed = [item for item in items if item.failure]
    passed = len(items) - len(failed)
    lines = [f"{item.label}: {item.failure}" for item in failed[:MAX_FAILURES]]
    if len(failed) > MAX_FAILURES:
        lines.append(f"... and {len(failed) - MAX_FAILURES} more")
    if printed.strip():
        lines += ["printed:", printed.strip()]
    return Evidence(
        kind=kind,
        standing=Standing.FAILED if failed else Standing.PASSED,
        summary=f"{passed} of {len(items)} {noun} passed",
        output=shortened("\n".join(lines)),
        score=passed / len(items),
    )


def failed(kind: str, summary: str, output: str = "") -> Evidence:
    """Evidence of a check in which nothing could be counted."""
    return Evidence(kind, Standing.FAILED, summary, shortened(output), 0.0)


def shortened(text: str) -> str:
    """At most 4 KiB of UTF-8, from both ends, without what no store can keep."""
    text = _ADDRESS.sub("", text)  # the same proposal, the same evidence
    text = "".join(
        c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_OUTPUT:
        return raw.decode("utf-8")
    mark = "\n... shortened ...\n"
    half = (MAX_OUTPUT - len(mark)) // 2
    return raw[:half].decode("utf-8", "ignore") + mark + raw[-half:].decode("utf-8", "ignore")
