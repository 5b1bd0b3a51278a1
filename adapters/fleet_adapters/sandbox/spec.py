"""The `spec` of the two kinds of check, from a plan's JSON data. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

DEFAULT_TIME_MS = 2_000
MAX_TIME_MS = 600_000
MAX_EXAMPLES = 200
MAX_TEXT = 512 * 1024


class SpecError(ValueError):
    """A spec is wrong; `field` is the path within it, `hint` the way out."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.hint = field, message, hint


@dataclass(frozen=True, slots=True)
class Example:
    """One call and what is expected of it: a value, or an exception's class by name.

    Attributes:
        raises: the expected exception's class or one of its bases; empty where a value is.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    returns: Any = None
    raises: str = ""


@dataclass(frozen=True, slots=True)
class PythonSpec:
    """Kind `python`.

    Attributes:
        entry: the function the examples call; empty for the last public one of the proposal.
        tests: a Python file of plain asserts, or of functions `test...`; the proposal's public
            names are at hand in it, and importable from `solution`; so is `raises`.
        time_ms: the longest one example, or one test, may take.
    """

    entry: str
    examples: tuple[Example, ...]
    tests: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """Kind `command`.

    Attributes:
        files: the work tree, relative path to text.
        command: the program and its arguments, run in the work tree, without a shell.
        apply: where in the work tree the proposal's code is written.
    """

    files: Mapping[str, str]
    command: tuple[str, ...]
    apply: str


def python_spec(spec: Mapping[str, Any]) -> PythonSpec:
    """The parameters of kind `python`. Raises SpecError."""
    _known(spec, "", ("entry", "examples", "tests", "time_ms"))
    entry = _text(spec, "entry", "")
    if entry and not entry.isidentifier():
        raise SpecError("entry", f"{entry[:60]!r} is no function's name")
    listed = spec.get("examples", [])
    if not isinstance(listed, list | tuple):
        raise _wrong("examples", "a list", listed)
    if len(listed) > MAX_EXAMPLES:
        raise SpecError("examples", f"{len(listed)} are too many", f"at most {MAX_EXAMPLES}")
    examples = tuple(_example(item, f"examples[{i}]") for i, item in enumerate(listed))
    tests = _text(spec, "tests", "")
    if not examples and not tests.strip():
        raise SpecError("examples", "nothing to check", "give examples, tests or both")
    time_ms = spec.get("time_ms", DEFAULT_TIME_MS)
    if not isinstance(time_ms, int) or isinstance(time_ms, bool):
        raise _wrong("time_ms", "a whole number of milliseconds", time_ms)
    if not 1 <= time_ms <= MAX_TIME_MS:
        raise SpecError("time_ms", f"{time_ms} is out of range", f"1 to {MAX_TIME_MS}")
    return PythonSpec(entry, examples, tests, time_ms)


def _example(item: Any, at: str) -> Example:
    if not isinstance(item, Mapping):
        raise _wrong(at, "a mapping of args and returns or raises", item)
    _known(item, at, ("args", "kwargs", "returns", "raises"))
    args, kwargs = item.get("args", []), item.get("kwargs", {})
    if not isinstance(args, list | tuple):
        raise _wrong(f"{at}.args", "a list", args)
    if not isinstance(kwargs, Mapping) or not all(isinstance(k, str) for k in kwargs):
        raise _wrong(f"{at}.kwargs", "a mapping with text as every key", kwargs)
    if ("returns" in item) == ("raises" in item):
        raise SpecError(at, "needs either returns or raises", "returns: null for None")
    if "raises" not in item:
        return Example(tuple(args), kwargs, item["returns"])
    raises = item["raises"]
    if not isinstance(raises, str) or not raises.isidentifier():
        raise _wrong(f"{at}.raises", "an exception's name", raises)
    return Example(tuple(args), kwargs, raises=raises)


def command_spec(spec: Mapping[str, Any]) -> CommandSpec:
    """The parameters of kind `command`. Raises SpecError."""
    _known(spec, "", ("files", "command", "apply"))
    files = spec.get("files", {})
    if not isinstance(files, Mapping):
        raise _wrong("files", "a mapping of paths to texts", files)
    for path, text in files.items():
        _path(path, f"files.{path}")
        if not isinstance(text, str):
            raise _wrong(f"files.{path}", "text", text)
    command = spec.get("command")
    if not isinstance(command, list | tuple) or not command:
        raise _wrong("command", "a list of a program and its arguments", command)
    for i, word in enumerate(command):
        if not isinstance(word, str) or "\0" in word:
            raise _wrong(f"command[{i}]", "text", word)
    if not command[0]:
        raise SpecError("command[0]", "is empty", "name the program")
    if "apply" not in spec:
        raise SpecError("apply", "missing", "say where the proposal's code is written")
    apply = spec["apply"]
    _path(apply, "apply")
    if sum(map(len, files.values())) > MAX_TEXT:
        raise SpecError("files", "are too large together", f"at most {MAX_TEXT} characters")
    return CommandSpec(dict(files), tuple(command), apply)


SPECS: Mapping[str, Callable[[Mapping[str, Any]], PythonSpec | CommandSpec]] = {
    "python": python_spec,
    "command": command_spec,
}


def _path(path: Any, at: str) -> None:
    if not isinstance(path, str):
        raise _wrong(at, "a relative path", path)
    plain = posixpath.normpath(path)
    if plain != path or path.startswith(("/", "../")) or path in (".", "..") or "\0" in path:
        raise SpecError(at, f"{path[:60]!r} is no plain relative path", "e.g. src/solution.py")


def _text(spec: Mapping[str, Any], key: str, default: str) -> str:
    value = spec.get(key, default)
    if not isinstance(value, str):
        raise _wrong(key, "text", value)
    if len(value) > MAX_TEXT:
        raise SpecError(key, "is too long", f"at most {MAX_TEXT} characters")
    return value


def _known(given: Mapping[str, Any], at: str, known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
            raise SpecError(f"{at}.{key}" if at else str(key), "unknown key", hint)


def _wrong(at: str, wanted: str, value: object) -> SpecError:
    shown = repr(value)
    return SpecError(
        at, f"should be {wanted}, is {shown if len(shown) <= 60 else shown[:57] + '...'}"
    )
