"""The server's and the driver's errors in the words of the ports."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    ConnectionAcquisitionTimeoutError,
    ConstraintError,
    DriverError,
    Forbidden,
    IncompleteCommit,
    Neo4jError,
    TransientError,
)

from fleet_core.errors import Conflict, FleetError, InputError, StoreError, Unavailable

_UNKNOWN = "if this was a write, it is unknown whether it was made"
_READ_ONLY = ("is read-only", "let it take writes, or set uri to one that does")
_MADE = ("has such a constraint or index", "try again")
_BROKEN = ("has met with a critical error", "see to its disk, then restart it; its log says more")
# Either code comes for either limit, of one transaction or of all; the message says which.
_SHORT = ("has too little memory for this", "raise the setting that it names, or its heap")
_IN_THE_WAY = (
    "has other constraints or indexes on what is ours",
    "set database to one of the fleet's own",
)
# By the code of the server's error: what is the matter, and the way out.
_REFUSED = {
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase": _READ_ONLY,
    "Neo.ClientError.General.WriteOnReadOnlyAccessDatabase": _READ_ONLY,
    "Neo.DatabaseError.Transaction.TransactionStartFailed": _BROKEN,
    "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists": _MADE,
    "Neo.ClientError.Schema.ConstraintAlreadyExists": _IN_THE_WAY,
    "Neo.ClientError.Schema.IndexAlreadyExists": _IN_THE_WAY,
    "Neo.ClientError.Database.DatabaseNotFound": (
        "has no such database",
        "set database to one that it has, or leave it empty",
    ),
    "Neo.DatabaseError.Schema.ConstraintCreationFailed": (
        "holds data that our constraints do not allow",
        "set database to one of the fleet's own",
    ),
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError": _SHORT,
    "Neo.TransientError.General.TransactionMemoryLimit": _SHORT,
}
# The rest by type, the first that fits; what is left is a server that does not answer.
_BY_TYPE: tuple[tuple[type[DriverError | Neo4jError], type[FleetError], str, str], ...] = (
    (
        AuthError,
        StoreError,
        "refuses the credentials",
        "set username, and password to the name of the secret that holds it",
    ),
    (
        Forbidden,
        StoreError,
        "does not permit this",
        "let the user read, write, and change the schema of the database",
    ),
    (ConstraintError, Conflict, "was written to by another at the same time", "try again"),
    (TransientError, Unavailable, "cannot do this now", "try again"),
    (Neo4jError, StoreError, "refuses", "look at its log"),
    (ConfigurationError, StoreError, "cannot be used", "set uri to a Neo4j server"),
    (ConnectionAcquisitionTimeoutError, Unavailable, "has no connection free", "raise connections"),
    (IncompleteCommit, Unavailable, f"was lost, and {_UNKNOWN}", "try again"),
)


class AlreadyMade(StoreError):
    """A constraint or an index is there; `IF NOT EXISTS` says so where two make it at once."""


class ReadOnly(StoreError):
    """The database takes no writes; whoever wants to read need not hold anything."""


_KINDS: dict[str, type[FleetError]] = {
    _READ_ONLY[0]: ReadOnly,
    _MADE[0]: AlreadyMade,
    _BROKEN[0]: Unavailable,
}


@contextmanager
def translate(where: str) -> Iterator[None]:
    """Raise what the driver raises as the ports name it; `where` is the server."""
    try:
        yield
    except (DriverError, Neo4jError) as error:
        raise translated(error, where) from error
    except (OverflowError, UnicodeEncodeError) as error:
        raise InputError(f"{where} cannot hold such a value: {error}") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise Unavailable(f"{where} does not answer: {error}; {_UNKNOWN}") from error


def translated(error: DriverError | Neo4jError, where: str) -> FleetError:
    """The error as the ports name it.

    Args:
        error: the driver's.
        where: the server, for the message.
    """
    said = _said(error)
    if isinstance(error, Neo4jError) and error.code in _REFUSED:
        what, way_out = _REFUSED[error.code]
        kind = _KINDS.get(what, StoreError)
        return kind(f"{where} {what}: {said}", way_out)
    if _has_bad_certificate(error):
        return StoreError(f"{where}: {said}", "set ca to the authority of its certificate")
    for driver_error, ours, what, way_out in _BY_TYPE:
        if isinstance(error, driver_error):
            return ours(f"{where} {what}: {said}", way_out)
    return Unavailable(f"{where} does not answer: {said}; {_UNKNOWN}", "see whether it runs there")


def is_refusal(error: DriverError | Neo4jError) -> bool:
    """Whether to try again is of no use, though the driver would."""
    return isinstance(error, Neo4jError) and error.code in _REFUSED


def _said(error: DriverError | Neo4jError) -> str:
    text = (error.message or error.code or "") if isinstance(error, Neo4jError) else str(error)
    return " ".join(text.split()) or type(error).__name__


def _has_bad_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
