from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from fleet_core.errors import ProfileError
from fleet_plugins.settings import decode_settings, from_text


class Mode(StrEnum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True, slots=True)
class Retry:
    attempts: int = 3
    wait_ms: int = 100


@dataclass(frozen=True, slots=True)
class Settings:
    base_url: str
    timeout_ms: int = 1000
    rate: float = 1.0
    stream: bool = True
    mode: Mode = Mode.FAST
    urls: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    cap: int | None = None
    retry: Retry = field(default_factory=Retry)
    headers: Mapping[str, str] = field(default_factory=dict)


def test_a_table_becomes_settings_with_the_defaults_of_the_class() -> None:
    data = {"base_url": "http://h", "retry": {"attempts": 1}, "mode": "safe", "urls": ["a"]}
    assert decode_settings(Settings, data) == Settings(
        "http://h", mode=Mode.SAFE, urls=("a",), retry=Retry(attempts=1)
    )


@pytest.mark.parametrize(
    ("data", "where", "said"),
    [
        ({"base_url": "u", "timeout": 3}, "model.timeout", "did you mean timeout_ms"),
        ({"base_url": "u", "timeout_ms": "3"}, "model.timeout_ms", "a whole number"),
        ({"base_url": "u", "stream": 1}, "model.stream", "true or false"),
        ({"base_url": "u", "retry": {"attempt": 1}}, "model.retry.attempt", "attempts"),
        ({}, "model.base_url", "missing"),
    ],
)
def test_a_wrong_table_names_file_key_and_way_out(
    data: dict[str, Any], where: str, said: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        decode_settings(Settings, data, source="my.toml", at="model")
    assert caught.value.source == "my.toml"
    assert caught.value.field == where
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("base_url", " http://h ", " http://h "),
        ("timeout_ms", "3", 3),
        ("rate", "0.5", 0.5),
        ("stream", "false", False),
        ("stream", "Yes", True),
        ("mode", "safe", "safe"),
        ("urls", "a, b", ["a", "b"]),
        ("urls", "", []),
        ("urls", '["a,b"]', ["a,b"]),
        ("weights", "1,2", [1, 2]),
        ("cap", "", None),
        ("cap", "7", 7),
        ("retry.attempts", "9", 9),
        ("headers", '{"a": "b"}', {"a": "b"}),
    ],
)
def test_text_is_read_by_the_type_of_its_field(key: str, text: str, value: object) -> None:
    assert from_text(Settings, key, text) == value
    head, _, rest = key.partition(".")
    data = {"base_url": "u", head: {rest: value} if rest else value}
    decode_settings(Settings, data)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("stream", "maybe", "true or false"),
        ("timeout_ms", "3.5", "a whole number"),
        ("weights", "1,x", "a whole number"),
        ("headers", "a=b", "JSON"),
        ("timeout", "3", "timeout_ms"),
        ("retry.wait", "3", "wait_ms"),
        ("rate.x", "3", "no further keys"),
    ],
)
def test_text_of_the_wrong_kind_names_the_variable_and_the_field(
    key: str, text: str, said: str
) -> None:
    with pytest.raises(ProfileError, match=said) as caught:
        from_text(Settings, key, text, source="FLEET_MODEL__X", at="model")
    assert str(caught.value).startswith("FLEET_MODEL__X: model.")
