from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.llamacpp.gguf import require_gguf
from fleet_adapters.llamacpp.model import open_model
from fleet_adapters.llamacpp.plugin import LlamacppSettings
from fleet_core.errors import ProfileError
from fleet_plugins.api import FactoryContext

_HEAD = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)


def test_a_model_is_taken_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.gguf").write_bytes(_HEAD)
    monkeypatch.chdir(tmp_path)
    assert require_gguf(Path("m.gguf")) == tmp_path / "m.gguf"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"PK\x03\x04 a zip file, and long enough", "is not a GGUF file"),
        (b"<html>not found</html>", "is not a GGUF file"),
        (b"GGUF", "is not a whole GGUF file"),
        (b"GGUF\x63\x00\x00\x00" + bytes(16), "version 1 to 3"),
    ],
)
@pytest.mark.anyio
async def test_what_is_no_model_is_refused_before_anything_starts(
    tmp_path: Path, raw: bytes | None, said: str
) -> None:
    path = tmp_path / "m.gguf"
    if raw is not None:
        path.write_bytes(raw)
    ctx = FactoryContext(clock=lambda: 0, secret=str, home=tmp_path)
    with pytest.raises(ProfileError, match=re.escape(str(path))) as caught:
        async with open_model(LlamacppSettings(gguf=str(path)), ctx):
            pass
    assert said in caught.value.message
    assert caught.value.field == "gguf"
    assert "--set model.gguf=PATH" in caught.value.hint


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        require_gguf(tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["threads", "slots", "n_ctx", "timeout_ms", "port"])
async def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, field: str) -> None:
    wrong: dict[str, Any] = {field: -1}
    ctx = FactoryContext(clock=lambda: 0, secret=str, home=tmp_path)
    with pytest.raises(ProfileError) as caught:
        async with open_model(replace(LlamacppSettings(), **wrong), ctx):
            pass
    assert caught.value.field == field
