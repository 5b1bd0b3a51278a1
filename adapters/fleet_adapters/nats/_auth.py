"""How we make ourselves known to a server, and it to us."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleet_adapters.nats.settings import NatsSettings
from fleet_core.errors import ProfileError

_WAYS = ("user", "nkey_secret", "creds_file")


def options(settings: NatsSettings, secret: Callable[[str], str], home: Path) -> dict[str, Any]:
    """The driver's arguments; files are read and secrets resolved now.

    Raises:
        ProfileError: names the setting that is wrong, or the secret that is not set.
    """
    given = [name for name in _WAYS if getattr(settings, name)]
    if len(given) > 1:
        raise ProfileError(f"only one of {', '.join(given)} can be used", field=given[1])
    out: dict[str, Any] = {"servers": [_server(url) for url in _servers(settings)]}
    if bool(settings.user) != bool(settings.password_secret):
        missing = "password_secret" if settings.user else "user"
        raise ProfileError("user and password_secret go together", field=missing)
    if settings.user:
        out |= {"user": settings.user, "password": secret(settings.password_secret)}
    if settings.nkey_secret:
        out["nkeys_seed_str"] = _seed(secret(settings.nkey_secret), settings.nkey_secret)
    if settings.creds_file:
        out["user_credentials"] = _creds(home / settings.creds_file)
    if wants_tls(settings):
        out["tls"] = _tls(settings, home)
    return out


def wants_tls(settings: NatsSettings) -> bool:
    """Whether a connection without TLS is refused."""
    named = settings.ca_file or settings.cert_file or settings.key_file
    return bool(named) or any(urlsplit(url).scheme == "tls" for url in settings.servers)


def _servers(settings: NatsSettings) -> tuple[str, ...]:
    if not settings.servers:
        raise ProfileError("names no server", "e.g. nats://127.0.0.1:4222", field="servers")
    return settings.servers


def _server(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit("none:"), None
    if parts.scheme not in ("nats", "tls") or not parts.hostname or port is None:
        raise ProfileError(
            f"{_without_login(url)!r} is no server", "e.g. nats://127.0.0.1:4222", field="servers"
        )
    if parts.username is not None or parts.password is not None:
        raise ProfileError(
            f"{_without_login(url)!r} carries credentials",
            "name the user in `user` and the password's secret in `password_secret`",
            field="servers",
        )
    return url


def _without_login(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('//')[0]}//...@{tail}" if at else url


def _seed(seed: str, name: str) -> str:
    import nkeys  # type: ignore[import-untyped]  # noqa: PLC0415 -- brings no types; loaded if used

    try:
        nkeys.from_seed(bytearray(seed.strip().encode())).wipe()
    except (nkeys.ErrInvalidSeed, nkeys.NkeysError, ValueError) as error:
        raise ProfileError(
            f"the secret {name} holds no nkey seed ({type(error).__name__})",
            "a user's seed begins with SU",
            field="nkey_secret",
        ) from None
    return seed.strip()


def _creds(path: Path) -> Path:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(
            f"cannot be read: {error}",
            "check path and rights",
            source=str(path),
            field="creds_file",
        ) from None
    if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
        raise ProfileError("holds no user JWT and seed", source=str(path), field="creds_file")
    return path


def _tls(settings: NatsSettings, home: Path) -> ssl.SSLContext:
    if bool(settings.cert_file) != bool(settings.key_file):
        missing = "key_file" if settings.cert_file else "cert_file"
        raise ProfileError("cert_file and key_file go together", field=missing)
    field = "ca_file"
    try:
        ca_file = str(home / settings.ca_file) if settings.ca_file else None
        context = ssl.create_default_context(cafile=ca_file)
        if settings.cert_file:
            field = "cert_file"
            context.load_cert_chain(home / settings.cert_file, home / settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ProfileError(
            f"cannot be used: {error}", "check path, rights and format", field=field
        ) from None
    return context
