"""The ports of a stack: which are asked for, and whether they are free."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from fleet_core.errors import InputError, Unavailable
from fleet_plugins.settings import close_matches

HOST = "127.0.0.1"
DEFAULT_PORTS: Mapping[str, int] = MappingProxyType(
    {
        "nats": 4222,
        "valkey": 6379,
        "neo4j": 7687,
        "ray": 0,
        "model": 8000,
        "context": 50051,
        "executor": 50056,
        "orchestrator": 50055,
        "monitor": 8080,
    }
)
"""Where profiles look for each; nobody but the executor asks for Ray's, so it takes a free one."""


def parsed(given: Iterable[str]) -> dict[str, int]:
    """`name=port` each.

    Raises:
        InputError: it is not of that form, or there is no such part.
    """
    found = {}
    for text in given:
        name, _, port = text.partition("=")
        if name not in DEFAULT_PORTS:
            raise InputError(
                f"there is no part {name!r}",
                close_matches(name, DEFAULT_PORTS),
                source=f"--port {text}",
            )
        if not (port.isascii() and port.isdigit() and int(port) < 65_536):
            raise InputError(
                "is not name=port",
                "e.g. nats=4223, or nats=0 for a free one",
                source=f"--port {text}",
            )
        found[name] = int(port)
    return found


def require_free(wanted: Mapping[str, int]) -> None:
    """Refuse to start anything where a port is taken.

    Raises:
        Unavailable: names all that are, and the way out.
    """
    taken = [f"port {port}, for {name}" for name, port in wanted.items() if not _is_free(port)]
    if taken:
        first = next(name for name, port in wanted.items() if not _is_free(port))
        verb = "are" if len(taken) > 1 else "is"
        raise Unavailable(
            f"{' and '.join(taken)}, {verb} taken by another program",
            f"stop it, or choose: --port {first}=0 takes a free one",
        )


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True
