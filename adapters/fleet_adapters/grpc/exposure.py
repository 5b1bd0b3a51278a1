"""Whether an address may be served, or a secret sent to it, without encryption."""

from __future__ import annotations

import ipaddress

from fleet_core.errors import ProfileError


def host_and_port(address: str, *, field: str) -> tuple[str, int]:
    """The parts of `host:port`, with brackets around an IPv6 address taken off.

    Raises:
        ProfileError: it is not of that form.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if (
        not (colon and host and port.isascii() and port.isdigit() and int(port) < 65_536)
        or (":" in host) != bracketed
        or any(c.isspace() or c in "/," for c in host)
    ):
        raise ProfileError(
            f"{address!r} is not host:port", "e.g. 127.0.0.1:50056 or [::1]:50056", field=field
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine is reached by it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def refuse_exposed(
    address: str, *, tls: bool, token: bool, insecure: bool, field: str = "listen"
) -> None:
    """Refuse to serve beyond loopback what anybody could read or call.

    Raises:
        ProfileError: the address is no loopback one, and TLS or the token is missing.
    """
    host, _ = host_and_port(address, field=field)
    if insecure or is_loopback(host) or (tls and token):
        return
    lacking = " and ".join(name for name, given in (("TLS", tls), ("a token", token)) if not given)
    raise ProfileError(
        f"{address} can be reached from other machines, without {lacking}",
        "set tls_cert, tls_key and token; or insecure = true where the network is trusted",
        field=field,
    )


def refuse_plain(address: str, *, tls: bool, insecure: bool, field: str = "address") -> None:
    """Refuse to send jobs and secrets beyond loopback in plain text.

    Raises:
        ProfileError: the address is no loopback one, and TLS is missing.
    """
    host, _ = host_and_port(address, field=field)
    if not (insecure or tls or is_loopback(host)):
        raise ProfileError(
            f"{address} is another machine, and TLS is off",
            "set tls = true, or tls_ca; or insecure = true where the network is trusted",
            field=field,
        )
