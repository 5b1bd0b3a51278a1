"""A plan from a file, a built-in name or bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

from fleet_bootstraps.plans.builtin import builtin_plan_path, builtin_plans
from fleet_bootstraps.plans.document import read_document, too_large
from fleet_bootstraps.plans.shape import plan_of
from fleet_core.domain.plan import MAX_PLAN_BYTES, Plan
from fleet_core.errors import PlanError


def load_plan(path: str | Path, roles: Collection[str]) -> Plan:
    """A plan by path, or by the name of a built-in one where no file has that path.

    Args:
        path: a YAML or JSON file of at most 1 MiB, or one of `builtin_plans()`.
        roles: the roles that have a council.

    Raises:
        PlanError: there is no such file or name, it cannot be read, or the plan is refused.
    """
    name = str(path)
    if name in builtin_plans() and not Path(name).is_file():
        return parse_plan(_read(builtin_plan_path(name)), f"{name} (built in)", roles)
    return parse_plan(_read(Path(path)), name, roles)


def parse_plan(raw: bytes, source: str, roles: Collection[str]) -> Plan:
    """A plan from a document's bytes.

    Args:
        raw: YAML or JSON in UTF-8.
        source: what to call it in errors.
        roles: the roles that have a council.

    Raises:
        PlanError: the first problem in file order, with file, line and field; what refers to
            something (roles, dependencies, cycles) is looked at once the shape is right.
    """
    return plan_of(read_document(raw, source), roles=roles, source=source)


def _read(path: Path) -> bytes:
    source = str(path)
    try:
        # Not to wait for a pipe that nobody writes to: what it is, is seen first.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise PlanError("there is no such file", _offers(path), source=source) from None
    except (OSError, ValueError) as error:
        raise _unreadable(error, source) from None
    try:
        status = os.fstat(opened)
        if stat.S_ISDIR(status.st_mode):
            raise PlanError("is a folder", "name a plan file in it", source=source)
        if not stat.S_ISREG(status.st_mode):
            raise PlanError("is not a regular file", "save the plan to a file", source=source)
        if status.st_size > MAX_PLAN_BYTES:
            raise too_large(source, status.st_size)
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise _unreadable(error, source) from None
    finally:
        os.close(opened)


def _unreadable(error: OSError | ValueError, source: str) -> PlanError:
    said = getattr(error, "strerror", None) or str(error)
    return PlanError(f"cannot be read: {said}", "check the path and its permissions", source=source)


def _offers(path: Path) -> str:
    names = builtin_plans()
    close = get_close_matches(path.name.lower(), names, n=2)
    known = f"built-in plans: {', '.join(names)}"
    return f"did you mean {' or '.join(close)}? {known}" if close else known
