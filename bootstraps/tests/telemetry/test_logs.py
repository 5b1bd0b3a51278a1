from __future__ import annotations

import io
import json
import logging
import os
import warnings
from typing import Any

from fleet_bootstraps.telemetry.logs import JsonLines, TextLines, logged
from fleet_bootstraps.telemetry.masks import Masks
from fleet_core import tracing

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
log = logging.getLogger("fleet.test")


def lines(stream: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logging_json(masks: Masks | None = None, level: int = logging.INFO) -> Any:
    stream = io.StringIO()
    return stream, logged(JsonLines("executor", masks or Masks()), level, stream=stream)


def test_a_record_is_one_line_with_what_one_looks_for() -> None:
    stream, speaking = logging_json()
    with speaking, tracing.within(TRACE):
        log.info("job %s\nis done \ud800", "j1")
        log.debug("not this")
    (said,) = lines(stream)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "info",
        "logger": "fleet.test",
        "message": "job j1\nis done \ud800",
        "service": "executor",
        "pid": os.getpid(),
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }


def test_an_exception_has_its_type_and_its_stack_and_no_secret() -> None:
    masks = Masks()
    masks.remember("s3cr3t-value")
    stream, speaking = logging_json(masks)
    with speaking:
        try:
            int("s3cr3t-value")
        except ValueError:
            log.exception("with s3cr3t-value")
    (said,) = lines(stream)
    assert said["message"] == "with ***"
    assert (said["error_type"], said["error"]) == (
        "ValueError",
        "invalid literal for int() with base 10: '***'",
    )
    assert said["stack"].startswith("Traceback")
    assert "test_logs.py" in said["stack"]
    assert "s3cr3t" not in stream.getvalue()
    assert "trace_id" not in said


def test_everybody_speaks_so_and_arguments_that_do_not_fit_are_told() -> None:
    stream, speaking = logging_json()
    with speaking:
        logging.getLogger("asyncio").error("Task exception was never retrieved")
        logging.getLogger("asyncio").info("not this")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        log.error("%d jobs", "no")
    said = lines(stream)
    assert [line["logger"] for line in said] == ["asyncio", "py.warnings", "fleet.test"]
    assert said[2]["message"].startswith("%d jobs ('no',) (TypeError")


def test_what_was_there_before_is_there_again() -> None:
    root, fleet = logging.getLogger(), logging.getLogger("fleet")
    before = root.handlers[:], root.level, fleet.handlers[:], fleet.level, fleet.propagate
    _, speaking = logging_json()
    with speaking:
        assert root.handlers != before[0]
    assert before == (root.handlers, root.level, fleet.handlers, fleet.level, fleet.propagate)


def test_text_is_one_line_for_a_person_without_secrets() -> None:
    masks, stream = Masks(), io.StringIO()
    masks.remember("s3cr3t-value")
    with logged(TextLines(masks), logging.WARNING, stream=stream):
        log.warning("with s3cr3t-value\x1b[2J", exc_info=KeyError("k"))
        log.info("not this")
    assert stream.getvalue().splitlines() == [
        "warning: fleet.test: with ***\\x1b[2J: KeyError: 'k'"
    ]
