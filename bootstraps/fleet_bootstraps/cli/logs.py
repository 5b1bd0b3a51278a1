"""Logging for a person: one line on stderr for each record of the fleet's own loggers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fleet_bootstraps.report.text import one_line

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_FETCHING = ("fleet.models", "fleet.model.llamacpp")


class LineHandler(logging.Handler):
    """Hands every record on as one line; by default to stderr."""

    _say: Callable[[str], None] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """One line; a traceback only by its last line, whole with --verbose --verbose."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                text += f": {type(error).__name__}: {error}"
            self._line(f"{record.levelname.lower()}: {record.name}: {text}")
        except Exception:  # noqa: BLE001 -- as every handler: logging may not break what it tells of
            self.handleError(record)

    def _line(self, text: str) -> None:
        if LineHandler._say is not None:
            LineHandler._say(text)
            return
        import typer  # noqa: PLC0415 -- so that this module can be read without it

        typer.echo(one_line(text), err=True)

    @classmethod
    @contextmanager
    def saying(cls, say: Callable[[str], None]) -> Iterator[None]:
        """Records go to `say` while this is held, e.g. above a table that is drawn in place."""
        before, cls._say = cls._say, say
        try:
            yield
        finally:
            cls._say = before


def configure(verbose: int = 0) -> None:
    """WARNING and above of `fleet.*`; each `verbose` a level more."""
    root = logging.getLogger("fleet")
    root.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])
    root.propagate = False
    root.handlers = [LineHandler()]
    for name in _FETCHING:  # a first start that downloads a model should say so
        logging.getLogger(name).setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
