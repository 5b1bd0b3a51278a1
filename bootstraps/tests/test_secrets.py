from __future__ import annotations

from pathlib import Path

import pytest

from fleet_bootstraps.secrets import secrets_from
from fleet_core.errors import ProfileError


def test_a_secret_comes_from_its_variable_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n")
    secret = secrets_from({"A": "from-variable", "B_FILE": str(file)})

    assert (secret("A"), secret("B")) == ("from-variable", "from-file")


def test_a_secret_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"hunter2\xff")
    secret = secrets_from({"B_FILE": str(tmp_path / "absent"), "C_FILE": str(bad)})

    for name, said in (("A", "is not set"), ("B", "No such file"), ("C", "not UTF-8")):
        with pytest.raises(ProfileError, match=said) as refused:
            secret(name)
        assert "hunter2" not in str(refused.value)
        assert name in refused.value.field
