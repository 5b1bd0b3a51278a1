"""Structured logs: one JSON object a line, on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from fleet_bootstraps.report.text import one_line
from fleet_bootstraps.telemetry.masks import Masks
from fleet_core import tracing


class JsonLines(logging.Formatter):
    """A record as a line of JSON.

    `time` (UTC), `level`, `logger`, `message`, `service`, `pid`; within a span `trace_id` and
    `span_id`; of an exception `error_type`, `error` and `stack`.

    Args:
        service: which one speaks.
        masks: what no line may say.
    """

    def __init__(self, service: str, masks: Masks) -> None:
        super().__init__()
        self._service = service
        self._masks = masks

    def format(self, record: logging.LogRecord) -> str:
        """The line; control characters and what is not ASCII are escaped in it."""
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said: dict[str, Any] = {
            "time": stamp.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._masks.hidden(_message(record)),
            "service": self._service,
            "pid": record.process or os.getpid(),
        }
        context = tracing.current()
        if context:
            _, said["trace_id"], said["span_id"], _ = context.split("-", 3)
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            said["error_type"] = type(error).__name__
            said["error"] = self._masks.hidden(str(error))
            said["stack"] = self._masks.hidden(self.formatException(record.exc_info))
        elif record.stack_info:
            said["stack"] = self._masks.hidden(record.stack_info)
        return json.dumps(said)


class TextLines(logging.Formatter):
    """A record as a line for a person; an exception only by its last line."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks

    def format(self, record: logging.LogRecord) -> str:
        """The line, with control characters written out."""
        text = _message(record)
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f": {type(error).__name__}: {error}"
        line = f"{record.levelname.lower()}: {record.name}: {text}"
        return one_line(self._masks.hidden(line))


@contextmanager
def logged(
    formatter: logging.Formatter, level: int, *, stream: TextIO | None = None
) -> Iterator[None]:
    """Every logger of the process speaks in that form while this is held.

    Args:
        formatter: `JsonLines` or `TextLines`.
        level: of the fleet's own loggers; all others speak from WARNING on.
        stream: stderr unless given.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(formatter)
    root, fleet = logging.getLogger(), logging.getLogger("fleet")
    before = root.handlers, root.level, fleet.handlers, fleet.level, fleet.propagate
    root.handlers, fleet.handlers = [handler], []
    root.setLevel(logging.WARNING)
    fleet.setLevel(level)
    fleet.propagate = True
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers, level, fleet.handlers, fleet_level, fleet.propagate = before
        root.setLevel(level)
        fleet.setLevel(fleet_level)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 -- arguments that do not fit are told, not lost
        return f"{record.msg} {record.args!r} ({type(error).__name__}: {error})"
