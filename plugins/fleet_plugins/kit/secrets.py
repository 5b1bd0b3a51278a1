"""Secrets come from the environment, or from a file that the environment names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_core.errors import ProfileError


def secrets_from(environ: Mapping[str, str]) -> Callable[[str], str]:
    """Resolves a secret by name: the variable NAME, or the file that NAME_FILE names.

    The resolver raises ProfileError where neither is set; the value never appears in a message.
    """

    def secret(name: str) -> str:
        if environ.get(name):
            return environ[name]
        path = environ.get(f"{name}_FILE")
        if path:
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise ProfileError(
                    f"the secret's file cannot be read: {reason}", source=path, field=f"{name}_FILE"
                ) from None
        raise ProfileError(
            f"the secret {name} is not set",
            f"set the variable {name}, or {name}_FILE to a file that holds it",
            field=name,
        )

    return secret
