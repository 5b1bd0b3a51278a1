"""From a profile's tables and the environment's text to an adapter's frozen settings."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from fleet_core.domain.codec import from_data
from fleet_core.errors import DecodeError, ProfileError

T = TypeVar("T")

_TRUTH = {"true": True, "yes": True, "on": True, "1": True}
_TRUTH |= {"false": False, "no": False, "off": False, "0": False}


def decode_settings(cls: type[T], data: Mapping[str, Any], *, source: str = "", at: str = "") -> T:
    """An instance of a settings class.

    Args:
        cls: a frozen dataclass.
        data: its fields as TOML or JSON gives them; strict: "3" is no number here.
        source: the file or variable to name in an error.
        at: the dotted path of the table, e.g. `model`.

    Raises:
        ProfileError: an unknown key (with close matches), a missing one or a wrong type.
    """
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # a dataclass by contract
    for key in data:
        if key not in known:
            raise _unknown_key(key, known, source=source, at=at)
    try:
        return from_data(cls, dict(data), source=source, at=at)
    except DecodeError as error:
        raise ProfileError(error.message, error.hint, source=source, field=error.field) from error


def from_text(cls: type[Any], key: str, text: str, *, source: str = "", at: str = "") -> Any:
    """The value a text stands for, by the type of the field it is meant for.

    `true`, `yes`, `on`, `1` and their opposites for a bool; comma-separated text for a tuple;
    JSON for mappings, tables and lists of those; empty text for None where the field may be None.

    Args:
        cls: a settings class.
        key: a field of it, or a dotted path into a nested one.
        text: from an environment variable or the command line.
        source: the variable or option to name in an error.
        at: the dotted path of `cls` itself.

    Returns:
        Data for `decode_settings`, which checks it.

    Raises:
        ProfileError: the key is unknown, or the text is no value of its type.
    """
    head, _, rest = key.partition(".")
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    if head not in known:
        raise _unknown_key(head, known, source=source, at=at)
    path = f"{at}.{head}" if at else head
    hint = hints[head]
    if rest:
        inner = next((arg for arg in _alternatives(hint) if dataclasses.is_dataclass(arg)), None)
        if not isinstance(inner, type):
            raise ProfileError("holds no further keys", source=source, field=path)
        return from_text(inner, rest, text, source=source, at=path)
    try:
        return _parse(hint, text)
    except ValueError as error:
        raise ProfileError(str(error), source=source, field=path) from None


def close_matches(name: str, known: Iterable[str]) -> str:
    """A hint: what may have been meant, and all that there is."""
    options = sorted(known)
    close = get_close_matches(name, options, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}known: {', '.join(options) or 'none'}"


def _unknown_key(key: object, known: Iterable[str], *, source: str, at: str) -> ProfileError:
    path = f"{at}.{key}" if at else str(key)
    return ProfileError("unknown key", close_matches(str(key), known), source=source, field=path)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _parse(hint: Any, text: str) -> Any:
    options = _alternatives(hint)
    if type(None) in options and not text:
        return None
    wanted = [option for option in options if option is not type(None)]
    if str in wanted:
        return text
    return _parse_one(wanted[0], text.strip())


def _parse_one(hint: Any, text: str) -> Any:
    if hint is bool:
        if text.lower() not in _TRUTH:
            raise ValueError(f"should be true or false, is {text!r}")
        return _TRUTH[text.lower()]
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            spoken = "a whole number" if hint is int else "a number"
            raise ValueError(f"should be {spoken}, is {text!r}") from None
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return text
    if typing.get_origin(hint) is tuple and not text.startswith("["):
        item = typing.get_args(hint)[0]
        return [_parse(item, part.strip()) for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise ValueError(f"should be JSON, is {text!r}") from None
