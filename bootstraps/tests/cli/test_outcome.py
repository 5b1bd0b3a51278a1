from __future__ import annotations

import logging

import pytest

from fleet_bootstraps.cli.logs import configure
from fleet_bootstraps.cli.outcome import Exit, ended
from fleet_core.errors import (
    CheckRefused,
    FleetError,
    ModelUnavailable,
    NotFound,
    PlanError,
    PluginError,
    StoreError,
)


def failing(error: BaseException) -> Exit:
    def work() -> Exit:
        raise error

    return ended(work)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PlanError("x"), 2),
        (NotFound("x"), 2),
        (ModelUnavailable("x"), 3),
        (StoreError("x"), 3),
        (PluginError("x"), 3),
        (CheckRefused("x"), 3),
        (FleetError("x"), 3),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 130),
        (BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError("x")]), 130),
    ],
)
def test_an_error_ends_in_its_code(error: BaseException, code: int) -> None:
    assert failing(error) == code


def test_errors_in_groups_are_said_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    store = StoreError("the disk is full", "make room")
    inner = ExceptionGroup("inner", [store, StoreError("the disk is full", "make room")])

    assert failing(ExceptionGroup("outer", [inner, PlanError("empty", source="p.yaml")])) == 3
    assert capsys.readouterr().err.splitlines() == [
        "fleet: error: the disk is full (make room)",
        "fleet: error: p.yaml: empty",
    ]


def test_errors_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    failing(PlanError("role '\x1b[31m'\nfake: line"))

    assert capsys.readouterr().err == "fleet: error: role '\\x1b[31m' fake: line\n"


def test_log_records_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    log = logging.getLogger("fleet.something")
    log.info("unheard")
    log.warning("two\nlines \x1b[0m")
    log.error("failed", exc_info=ValueError("why"))

    assert capsys.readouterr().err.splitlines() == [
        "warning: fleet.something: two lines \\x1b[0m",
        "error: fleet.something: failed: ValueError: why",
    ]
    configure(1)
    log.info("heard")
    assert capsys.readouterr().err == "info: fleet.something: heard\n"
    configure()
