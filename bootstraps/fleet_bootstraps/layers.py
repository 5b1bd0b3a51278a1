"""Profiles as layers of tables: built-in < the user's file < environment < `--set`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from fleet_core.domain.council import role_name
from fleet_core.errors import ProfileError
from fleet_plugins.settings import close_matches

Table = Mapping[str, Any]
ENVIRONMENT_PREFIX = "FLEET_"
OTHER_NAMES = {"RAY_EXECUTOR_ADDRESS": "FLEET_EXECUTOR__ADDRESS"}
"""Variables that stand for others, by the name that deployments know them by."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value with where it was given, for error messages.

    Attributes:
        value: TOML data, or text from the environment or the command line.
        source: a file, a variable, or `--set`.
        is_text: whether `value` still has to be read by the setting's type.
    """

    value: Any
    source: str
    is_text: bool = False


Tables = dict[str, dict[str, Given]]
"""Settings by dotted table (`bus`, `models.big`, `councils.DEV`) and key."""


def builtin_names() -> tuple[str, ...]:
    """The profiles that come with the package."""
    folder = resources.files("fleet_bootstraps") / "profiles"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def layered(profile: str, environ: Mapping[str, str], sets: Iterable[str]) -> Tables:
    """The settings of a profile with everything laid over it.

    A layer that changes a table's `use` starts that table anew: the settings of one adapter are
    not those of another.

    Args:
        profile: a built-in name, or a path to a TOML file whose `extends` names what it is laid
            over (`embedded` unless it says otherwise).
        environ: read for `FLEET_<TABLE>__<KEY>` and `OTHER_NAMES`.
        sets: `table.key=value` each.

    Raises:
        ProfileError: names file, variable or option, the key, and the close matches.
    """
    tables: Tables = {}
    for layer in [*_files(profile), _environment(environ), _sets(sets)]:
        for name, entries in layer.items():
            held = tables.setdefault(name, {})
            use = entries.get("use")
            if use is not None and "use" in held and held["use"].value != use.value:
                held.clear()
            held.update(entries)
    return tables


def _files(profile: str) -> list[Tables]:
    """The layers of a profile's file and of those it extends, the lowest first."""
    out: list[Tables] = []
    seen: list[str] = []
    name = profile
    while True:
        path = Path(name)
        if name in seen:
            circle = " -> ".join([*seen, name])
            raise ProfileError(
                f"profiles extend each other in a circle: {circle}", source=seen[0], field="extends"
            )
        seen.append(name)
        if name in builtin_names():
            raw = (resources.files("fleet_bootstraps") / "profiles" / f"{name}.toml").read_bytes()
            data = _parsed(raw, f"profile {name}")
            extends = data.pop("extends", None)
            out.append(_flat(data, f"profile {name}"))
            if extends is None:
                return out[::-1]
            name = str(extends)
            continue
        if not path.is_file():
            known = close_matches(name, builtin_names())
            raise ProfileError(
                f"there is no profile {name!r}", f"{known}; or give the path of a TOML file"
            )
        data = _parsed(_read(path), str(path))
        extends = data.pop("extends", "embedded")
        if not isinstance(extends, str):
            raise ProfileError("should be text", source=str(path), field="extends")
        out.append(_flat(data, str(path)))
        beside = path.parent / extends
        name = str(beside) if extends not in builtin_names() and beside.is_file() else extends


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProfileError(
            f"cannot be read: {error.strerror}", "check its rights", source=str(path)
        ) from None


def _parsed(raw: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProfileError(
            f"is not UTF-8 (byte {error.start})", "save it as UTF-8", source=source
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"is not TOML: {error}", source=source) from None


NAMED_TABLES = ("models", "checks", "councils", "prices", "services")
"""Tables whose keys are names, each with a table of its own."""


def _flat(data: Table, source: str) -> Tables:
    out: Tables = {}
    for name, table in data.items():
        if not isinstance(table, dict):
            raise ProfileError("should be a table", f"[{name}]", source=source, field=name)
        if name in NAMED_TABLES:
            for key, inner in table.items():
                if not isinstance(inner, dict):
                    field = f"{name}.{key}"
                    raise ProfileError(
                        "should be a table", f"[{field}]", source=source, field=field
                    )
                if _named(name, key) in out:
                    raise ProfileError(
                        "is given twice", "roles have no case", source=source, field=f"{name}.{key}"
                    )
                out[_named(name, key)] = {k: Given(v, source) for k, v in inner.items()}
        else:
            out[name] = {k: Given(v, source) for k, v in table.items()}
    return out


def _named(head: str, name: str) -> str:
    """The table of a name; roles are compared without case."""
    return f"{head}.{role_name(name) if head == 'councils' else name}"


def _environment(environ: Mapping[str, str]) -> Tables:
    out: Tables = {}
    for variable, text in sorted(environ.items()):
        name = _known_name(variable, environ)
        parts = name.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if not name.startswith(ENVIRONMENT_PREFIX) or len(parts) < 2:
            continue
        head = parts[0].lower()
        if head in NAMED_TABLES and len(parts) > 2:
            table, key = _named(head, parts[1].lower()), ".".join(parts[2:]).lower()
        else:
            table, key = head, ".".join(parts[1:]).lower()
        out.setdefault(table, {})[key] = Given(text, variable, is_text=True)
    return out


def _known_name(variable: str, environ: Mapping[str, str]) -> str:
    """The variable that another name stands for; any other is its own."""
    name = OTHER_NAMES.get(variable, variable)
    if environ.get(name, environ[variable]) != environ[variable]:
        raise ProfileError(
            f"is {environ[variable]!r}, and {name}, which means the same, is {environ[name]!r}",
            "set one of the two",
            source=variable,
        )
    return name


def _sets(sets: Iterable[str]) -> Tables:
    out: Tables = {}
    for entry in sets:
        source = f"--set {entry}"
        path, equals, text = entry.partition("=")
        parts = path.strip().split(".")
        if not equals or len(parts) < 2 or not all(parts):
            raise ProfileError("is not table.key=value", "e.g. model.use=openai", source=source)
        if parts[0] in NAMED_TABLES and len(parts) > 2:
            table, key = _named(parts[0], parts[1]), ".".join(parts[2:])
        else:
            table, key = parts[0], ".".join(parts[1:])
        out.setdefault(table, {})[key] = Given(text, source, is_text=True)
    return out


def home(environ: Mapping[str, str] | None = None) -> Path:
    """FLEET_HOME: where a profile keeps things; `.fleet` in the current folder by default."""
    found = (os.environ if environ is None else environ).get("FLEET_HOME", "")
    return Path(found or ".fleet").absolute()
