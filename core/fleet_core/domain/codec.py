"""Frozen dataclasses to JSON data and back, strictly, with the path of the field that is wrong.

`to_data` leaves out fields that equal their default, so documents stay small and a field added
later with a default reads old documents. `from_data` refuses unknown keys and wrong types.
A union of dataclasses is told apart by each member's `KIND` class variable, written as `kind`.
Encoders and decoders are built once per class.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar, cast

from fleet_core.errors import DecodeError

T = TypeVar("T")
Json = typing.Any  # a JSON value has no narrower static type than this
_Encode = Callable[[typing.Any], Json]
_Decode = Callable[[Json, str], typing.Any]
_MISSING = dataclasses.MISSING


def to_data(value: typing.Any) -> Json:
    """The JSON data (dicts, lists, str, int, float, bool, None) of a dataclass instance."""
    cls: typing.Any = type(value)
    return cast(Json, _class_encoder(cls)(value))


def from_data(cls: type[T], data: Json, *, source: str = "", at: str = "") -> T:
    """An instance of `cls` from JSON data.

    Raises:
        DecodeError: names `source` and the dotted path of the first field that is wrong.
    """
    try:
        hint: typing.Any = cls
        return cast(T, _decoder(hint)(data, at))
    except DecodeError as error:
        raise DecodeError(error.message, error.hint, source=source, field=error.field) from None


@cache
def _class_encoder(cls: typing.Any) -> _Encode:
    """A function written for this class: this is the hottest code of a deliberation."""
    hints = typing.get_type_hints(cls)
    kind = getattr(cls, "KIND", None)
    names: dict[str, typing.Any] = {}
    lines = [
        "def encode(value):",
        "    out = {}" if kind is None else f"    out = {{'kind': {kind!r}}}",
    ]
    for number, field in enumerate(dataclasses.fields(cls)):
        default = field.default
        if default is _MISSING and field.default_factory is not _MISSING:
            default = field.default_factory()
        inner = names[f"e{number}"] = _encoder(hints[field.name])
        names[f"d{number}"] = default
        encoded = "item" if inner is None else f"e{number}(item)"
        lines.append(f"    item = value.{field.name}")
        if default is not _MISSING:
            lines.append(f"    if item is not d{number} and item != d{number}:")
        lines.append(f"    {'    ' * (default is not _MISSING)}out[{field.name!r}] = {encoded}")
    lines.append("    return out")
    exec("\n".join(lines), names)  # noqa: S102 -- from field names only, as dataclasses do it
    return cast(_Encode, names["encode"])


@cache
def _encoder(hint: typing.Any) -> _Encode | None:
    """An encoder for a type hint; None where the value is JSON already."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        members = [a for a in args if a is not type(None)]
        inners = {_encoder(m) for m in members}
        if inners == {None}:
            return None
        if all(dataclasses.is_dataclass(m) for m in members):
            return lambda v: None if v is None else to_data(v)
        if len(members) == 1:
            single = cast(_Encode, inners.pop())
            return lambda v: None if v is None else single(v)
        raise TypeError(f"no encoder for {hint}")
    if origin is tuple:
        item = _encoder(args[0])
        return list if item is None else lambda v: [item(x) for x in v]
    if origin in (dict, Mapping):
        inner = _encoder(args[1])
        return dict if inner is None else lambda v: {k: inner(x) for k, x in v.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _class_encoder(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return lambda v: v.value
    return None


@cache
def _decoder(hint: typing.Any) -> _Decode:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any:
        return _json
    if origin in (typing.Union, types.UnionType):
        return _union_decoder(args)
    if origin is tuple:
        return _tuple_decoder(args[0])
    if origin in (dict, Mapping):
        return _mapping_decoder(args[1])
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _class_decoder(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum_decoder(hint)
    if hint in (str, int, float, bool):
        return _scalar_decoder(hint)
    raise TypeError(f"no decoder for {hint}")


def _json(value: Json, at: str) -> Json:
    """JSON as it is: what has no canonical form would break identities, and is refused here."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _finite(value, at)
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _json(item, f"{at}[{index}]")
        return value
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _wrong(key, at, "text as every key")
            _json(item, _join(at, key))
        return value
    raise _wrong(value, at, "JSON data")


def _finite(value: float, at: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(value, at, "a finite number")
    return number


def _scalar_decoder(hint: typing.Any) -> _Decode:
    accepted: tuple[typing.Any, ...] = (int, float) if hint is float else (hint,)

    def decode(value: Json, at: str) -> object:
        if isinstance(value, accepted) and (hint is bool or not isinstance(value, bool)):
            return _finite(value, at) if hint is float else value
        raise _wrong(value, at, _SPOKEN[hint])

    return decode


def _enum_decoder(hint: type[enum.Enum]) -> _Decode:
    allowed = ", ".join(str(member.value) for member in hint)

    def decode(value: Json, at: str) -> enum.Enum:
        try:
            return hint(value)
        except ValueError:
            raise DecodeError(f"{_shown(value)} is none of: {allowed}", field=at) from None

    return decode


def _tuple_decoder(item: typing.Any) -> _Decode:
    inner = _decoder(item)
    plain = item if item in _PLAIN else None

    def decode(value: Json, at: str) -> tuple[object, ...]:
        if not isinstance(value, list | tuple):
            raise _wrong(value, at, "a list")
        if plain is not None and all(type(x) is plain for x in value):
            return tuple(value)
        return tuple(inner(x, f"{at}[{i}]") for i, x in enumerate(value))

    return decode


def _mapping_decoder(item: typing.Any) -> _Decode:
    inner = _decoder(item)

    def decode(value: Json, at: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise _wrong(value, at, "a mapping")
        out = {}
        for key, entry in value.items():
            if not isinstance(key, str):
                raise _wrong(key, at, "text as every key")
            out[key] = inner(entry, _join(at, key))
        return out

    return decode


def _union_decoder(args: tuple[typing.Any, ...]) -> _Decode:
    members = [a for a in args if a is not type(None)]
    optional = len(members) < len(args)
    tagged = {m.KIND: _class_decoder(m) for m in members if hasattr(m, "KIND")}
    single = _decoder(members[0]) if len(members) == 1 else None

    def decode(value: Json, at: str) -> object:
        if value is None and optional:
            return None
        if single is not None:
            return single(value, at)
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in tagged:
            raise DecodeError(f"kind is none of: {', '.join(sorted(tagged))}", field=at)
        return tagged[kind](value, at)

    if len(members) > 1 and len(tagged) != len(members):
        scalars = tuple(m for m in members if m in _SPOKEN)
        if len(scalars) != len(members):
            raise TypeError(f"no decoder for a union of {members}")

        def decode_scalar(value: Json, at: str) -> object:
            if (value is None and optional) or isinstance(value, scalars):
                return value
            raise _wrong(value, at, " or ".join(_SPOKEN[s] for s in scalars))

        return decode_scalar
    return decode


@cache
def _class_decoder(cls: typing.Any) -> _Decode:
    hints = typing.get_type_hints(cls)
    kind = getattr(cls, "KIND", None)
    fields = dataclasses.fields(cls)
    decoders = {field.name: _decoder(hints[field.name]) for field in fields}
    plain = {field.name: hints[field.name] for field in fields if hints[field.name] in _PLAIN}
    required = [
        field.name
        for field in fields
        if field.default is _MISSING and field.default_factory is _MISSING
    ]

    def decode(value: Json, at: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(value, at, "a mapping")
        given = {}
        for key, item in value.items():
            if type(item) is plain.get(key):
                given[key] = item
                continue
            inner = decoders.get(key)
            if inner is None:
                if key == "kind" and item == kind:
                    continue
                known = ", ".join(sorted(decoders))
                raise DecodeError("unknown key", f"known keys: {known}", field=_join(at, str(key)))
            given[key] = inner(item, _join(at, key))
        for name in required:
            if name not in given:
                raise DecodeError("missing", field=_join(at, name))
        return cls(**given)

    return decode


# Values of just these types are taken as they are, without the name of their place being made up.
_PLAIN: tuple[type, ...] = (str, int, bool)
_SPOKEN: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _wrong(value: object, at: str, wanted: str) -> DecodeError:
    return DecodeError(f"should be {wanted}, is {_shown(value)}", field=at)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
