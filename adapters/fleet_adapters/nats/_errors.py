"""NATS's errors in the words of the ports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nats.errors import Error as DriverError
from nats.errors import MaxPayloadError

from fleet_core.errors import FleetError, StoreError, Unavailable

_REFUSED_LOGIN = re.compile(r"authori[sz]ation|authentication|nkey|jwt|credential", re.IGNORECASE)
_FORBIDDEN = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"")
_STREAM_AWAY = frozenset({503})

NO_CONSUMER, NO_STREAM = 10014, 10059
CONSUMER_THERE = frozenset({10013, 10105, 10148})
STREAM_THERE = 10058
WRONG_LAST_SEQUENCE = 10071


class Refused(Exception):
    """The JetStream API answers with an error; never crosses a port."""

    def __init__(self, error: Mapping[str, Any], what: str) -> None:
        super().__init__(error, what)
        self.code = int(error.get("code", 0))
        self.err_code = int(error.get("err_code", 0))
        self.description = str(error.get("description", "no reason given"))
        self.what = what

    @property
    def passing(self) -> bool:
        """Whether it may go away by itself: JetStream is starting, or elects a leader."""
        return self.code in _STREAM_AWAY

    def spoken(self) -> FleetError:
        """As the ports name it."""
        said = f"NATS refuses {self.what}: {self.description}"
        return Unavailable(said) if self.passing else StoreError(said)


def login_refused(error: BaseException) -> bool:
    """Whether the server does not know us; trying again as we are would not help."""
    return isinstance(error, DriverError) and _REFUSED_LOGIN.search(str(error)) is not None


def forbidden(error: BaseException) -> tuple[str, str] | None:
    """(`publish` or `subscription`, subject in lower case) of a permissions violation."""
    found = _FORBIDDEN.search(str(error).lower())
    return (found[1], found[2]) if found else None


@contextmanager
def translate(what: str) -> Iterator[None]:
    """Raise what the driver raises as the ports name it."""
    try:
        yield
    except MaxPayloadError as error:
        raise StoreError(f"{what} is larger than the server takes") from error
    except DriverError as error:
        raise Unavailable(f"NATS does not take {what}: {error}") from error
    except Refused as error:
        raise error.spoken() from error
