"""The bench from end to end, with the default model and as few questions as say something."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from fleet_adapters.llamacpp.default_model import ensure_default_model
from fleet_features.bench.context_value import main

pytestmark = [pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_model_whose_window_is_too_small_is_not_asked_with_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    models = Path(os.environ.get("FLEET_TEST_MODELS") or cache / "swe-ai-fleet" / "models")
    gguf = asyncio.run(ensure_default_model(models))
    kept = tmp_path / "answers.jsonl"

    code = main(
        ["--model", str(gguf), "--questions", "2", "--threads", "1", "--answers", str(kept)]
    )

    assert code == 1  # two questions show nothing clearly
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("everything is not run: ") for line in lines)
    assert "a trial: fewer than 50 questions" in lines
    names = {figure["name"] for figure in json.loads(lines[-1])["figures"]}
    assert {"tokens, pack", "pack - random, low end"} <= names
    assert not [name for name in names if "everything" in name]
    answers = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert [a["arm"] for a in answers] == ["nothing"] * 2 + ["pack"] * 2 + ["random"] * 2
    pack = [a["prompt_tokens"] for a in answers if a["arm"] == "pack"]
    assert all(a["prompt_tokens"] <= max(pack) for a in answers)
