"""Ports as they are asked for, and whether they are free."""

from __future__ import annotations

import socket

import pytest

from fleet_bootstraps.stack.ports import parsed, require_free
from fleet_core.errors import InputError, Unavailable


def test_each_is_given_by_name() -> None:
    assert parsed(["nats=4223", "valkey=0"]) == {"nats": 4223, "valkey": 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nats", "is not name=port"),
        ("nats=http", "is not name=port"),
        ("nats=65536", "is not name=port"),
        ("nats=-1", "is not name=port"),
        ("natz=1", "did you mean nats"),
    ],
)
def test_what_cannot_be_a_port_is_refused_with_the_option(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parsed([text])
    assert caught.value.source == f"--port {text}"


def test_all_that_are_taken_are_named_at_once() -> None:
    with socket.socket() as one, socket.socket() as other:
        taken = {}
        for name, listening in (("nats", one), ("valkey", other)):
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            taken[name] = listening.getsockname()[1]
        with pytest.raises(Unavailable) as caught:
            require_free(taken)
    assert f"port {taken['nats']}, for nats and port {taken['valkey']}" in str(caught.value)
    require_free(taken)
