"""`fleet profiles`: which there are, and what one comes to with everything laid over it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import resources
from typing import Any

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, table
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.layers import Given, builtin_names
from fleet_bootstraps.profile import Profile, plain
from fleet_plugins.registry import Binding

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


def list_profiles(*, as_json: bool) -> Exit:
    """The built-in profiles with what their files say of themselves."""
    found = [{"name": name, "summary": _summary(name)} for name in builtin_names()]
    if as_json:
        emit(found)
    else:
        table(("name", "summary"), (tuple(p.values()) for p in found), limit=160)
    return Exit.DONE


def _summary(name: str) -> str:
    text = (resources.files("fleet_bootstraps") / "profiles" / f"{name}.toml").read_text("utf-8")
    comment = []
    for row in text.splitlines():
        if not row.startswith("#"):
            break
        comment.append(row.lstrip("# "))
    return " ".join(comment)


def show_profile(opened: Session, *, as_json: bool) -> Exit:
    """Every setting of a profile with its value and where that was given."""
    rows = list(effective(opened.profile))
    if as_json:
        emit({"profile": opened.profile.name, "settings": rows})
        return Exit.DONE
    line(f"profile {opened.profile.name}, FLEET_HOME {opened.home}")
    table(
        ("setting", "value", "given by"),
        ((f"{r['table']}.{r['key']}", _spoken(r["value"]), r["source"]) for r in rows),
        limit=100,
    )
    return Exit.DONE


def effective(profile: Profile) -> Iterator[dict[str, Any]]:
    """Settings by table and key; `source` is `default` where nobody gave one.

    Settings hold the names of secrets, never secrets; a password within an address is left out.
    """
    for table_, use, settings in _tables(profile):
        given = profile.tables.get(table_, {})
        if use:
            source = given["use"].source if "use" in given else "default"
            yield {"table": table_, "key": "use", "value": use, "source": source}
        for key, value in _flat(settings):
            yield {
                "table": table_,
                "key": key,
                "value": _without_passwords(plain(value)),
                "source": _source(given, key),
            }


def _tables(profile: Profile) -> Iterator[tuple[str, str, Any]]:
    for port, bound in profile.bindings.items():
        if isinstance(bound, Binding):
            yield str(port), bound.adapter.name, bound.settings
            continue
        for name, binding in bound.items():
            table_ = str(port) if name == "default" else f"{port}s.{name}"
            yield table_, binding.adapter.name, binding.settings
    own = profile.settings
    yield from (("deliberation", "", own.deliberation), ("lease", "", own.lease))
    yield "context", "", own.context
    for role, council in own.councils.items():
        table_ = next(t for t in profile.tables if t.upper() == f"COUNCILS.{role}")
        yield table_, "", council
    yield from ((f"prices.{name}", "", price) for name, price in own.prices.items())


def _flat(settings: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from _flat(value, f"{before}{field.name}.")
        else:
            yield f"{before}{field.name}", value


def _source(given: Mapping[str, Given], key: str) -> str:
    """Where a key, or a table around it, was given last."""
    parts = key.split(".")
    names = {".".join(parts[: n + 1]) for n in range(len(parts))}
    for name, value in reversed(list(given.items())):
        if name == key:
            return _told(value)
        if name in names and parts[-1] in (value.value or {}):
            return _told(value)
    return "default"


def _told(given: Given) -> str:
    return str(_without_passwords(given.source))


def _without_passwords(value: Any) -> Any:
    if isinstance(value, str):
        return _USER_INFO.sub("...@", value)
    if isinstance(value, list):
        return [_without_passwords(v) for v in value]
    if isinstance(value, dict):
        return {k: _without_passwords(v) for k, v in value.items()}
    return value


def _spoken(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
