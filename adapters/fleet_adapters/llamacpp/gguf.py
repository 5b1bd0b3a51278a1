"""Whether a file is a GGUF model, said before anything starts."""

from __future__ import annotations

from pathlib import Path

from fleet_core.errors import ProfileError

_MAGIC = b"GGUF"
_HEADER_BYTES = 24  # magic, version, number of tensors, number of metadata entries
_HINT = "name a GGUF file: --set model.gguf=PATH, or leave it empty for the default model"


def require_gguf(path: Path) -> Path:
    """The absolute path of a model file that begins as one.

    Raises:
        ProfileError: there is no such file, it cannot be read, or it is no GGUF.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise _refusal(f"{path} does not exist") from None
    except OSError as error:
        raise _refusal(f"{path} cannot be read: {error.strerror}") from None
    if not head:
        raise _refusal(f"{path} is empty")
    if not head.startswith(_MAGIC):
        raise _refusal(f"{path} is not a GGUF file: it begins with {head[:4]!r}")
    version = int.from_bytes(head[4:8], "little")
    if len(head) < _HEADER_BYTES or not 1 <= version <= 3:
        raise _refusal(f"{path} is not a whole GGUF file of version 1 to 3")
    return path.resolve()


def _refusal(message: str) -> ProfileError:
    return ProfileError(message, _HINT, source="model.llamacpp", field="gguf")
