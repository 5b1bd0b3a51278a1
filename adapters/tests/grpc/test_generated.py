"""The generated code is what the protos generate, and the protos are what buf asks of protos."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / ".ci/protos.py"


@pytest.fixture
def protos() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protos", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generating_again_changes_nothing_and_the_protos_are_clean() -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, "check"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_change_is_found(
    protos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in protos.PROTOS.rglob("*.proto"):
        copy = tmp_path / path.relative_to(protos.PROTOS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(protos, "PROTOS", tmp_path)
    protos.write()
    assert protos.differences() == []
    model = tmp_path / "fleet/domain/v1/model.proto"
    model.write_text(model.read_text().replace("string text = 2;", "string Text = 2;"))
    (tmp_path / "fleet/domain/v1/stray_pb2.py").write_text("")
    assert [line.split()[0] for line in protos.differences()] == [
        "fleet/domain/v1/model_pb2.py",
        "fleet/domain/v1/model_pb2.pyi",
        "fleet/domain/v1/stray_pb2.py",
    ]
    (found,) = protos.lint()
    assert "FIELD_LOWER_SNAKE_CASE" in found or "lower_snake_case" in found


def test_messages_can_be_pickled() -> None:
    """Their classes know where they are imported from."""
    code = (
        "import pickle; from fleet_adapters.grpc.proto.fleet.domain.v1.job_pb2 import JobKey; "
        "assert pickle.loads(pickle.dumps(JobKey(round=3))).round == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
