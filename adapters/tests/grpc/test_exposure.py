"""What may be served, and called, without encryption."""

from __future__ import annotations

import pytest

from fleet_adapters.grpc.exposure import (
    host_and_port,
    is_loopback,
    refuse_exposed,
    refuse_plain,
)
from fleet_core.errors import ProfileError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_loopback_addresses_need_nothing(host: str) -> None:
    address = f"[{host}]:1" if ":" in host else f"{host}:1"
    refuse_exposed(address, tls=False, token=False, insecure=False)
    refuse_plain(address, tls=False, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "fleet", "localhost.evil.example"])
def test_other_addresses_need_tls_and_a_token(host: str) -> None:
    address = f"[{host}]:1" if ":" in host else f"{host}:1"
    for tls, token, lacking in [
        (False, False, "TLS and a token"),
        (True, False, "a token"),
        (False, True, "TLS"),
    ]:
        with pytest.raises(ProfileError, match=rf"without {lacking} \(") as refused:
            refuse_exposed(address, tls=tls, token=token, insecure=False)
        assert refused.value.field == "listen"
        assert "insecure = true" in refused.value.hint
    refuse_exposed(address, tls=True, token=True, insecure=False)
    refuse_exposed(address, tls=False, token=False, insecure=True)


def test_a_client_sends_nothing_readable_to_another_machine() -> None:
    with pytest.raises(ProfileError, match="TLS is off"):
        refuse_plain("10.0.0.1:50056", tls=False, insecure=False)
    refuse_plain("10.0.0.1:50056", tls=True, insecure=False)
    refuse_plain("10.0.0.1:50056", tls=False, insecure=True)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "50056",
        ":50056",
        "x:",
        "x:y",
        "x:65536",
        "x:-1",
        "::1:50056",
        "[::1]",
        "a b:1",
        "a,b:1",
        "http://x:1",
        "[x]:1",
        "x:٣",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ProfileError, match="is not host:port"):
        host_and_port(address, field="listen")


def test_an_address_has_a_host_and_a_port() -> None:
    assert host_and_port("[::1]:0", field="x") == ("::1", 0)
    assert host_and_port("a.b:65535", field="x") == ("a.b", 65_535)
    assert not is_loopback("")
