"""From the settings to a link with a server whose database is ready for the graph."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from neo4j import AsyncDriver, AsyncGraphDatabase, NotificationMinimumSeverity

from fleet_adapters.neo4j._errors import translate
from fleet_adapters.neo4j._link import Link
from fleet_adapters.neo4j._schema import prepared
from fleet_adapters.neo4j.plugin import Neo4jSettings
from fleet_core import __version__
from fleet_core.errors import ProfileError, StoreError
from fleet_plugins.api import FactoryContext

_PLAIN = ("bolt", "neo4j")
_TLS = ("bolt+s", "neo4j+s")
_EXAMPLE = "write it as bolt://host:7687, or bolt+s:// for TLS"
_PORT = 7687
_SERVER = re.compile(r"Neo4j/v?(\d+)\.(\d+)")
_OLDEST = (5, 23)  # the first that reads `CALL (...) { ... }`
_RETRY_SHARE = 1 / 3  # of a call's time, in which it is tried again


@asynccontextmanager
async def opened(settings: Neo4jSettings, ctx: FactoryContext) -> AsyncIterator[Link]:
    """A link to the server, whose database was brought to this program's version.

    Raises:
        ProfileError: a setting is wrong.
        StoreError: the server refuses, is too old, or its database is of a later version.
        Unavailable: it does not answer.
    """
    uri = _parsed(settings.uri)
    for field in ("timeout_ms", "connections"):
        if getattr(settings, field) < 1:
            raise ProfileError("should be at least 1", field=field)
    host = f"[{uri.hostname}]" if ":" in (uri.hostname or "") else uri.hostname
    where = f"the Neo4j at {host}:{uri.port or _PORT}"
    timeout_s = settings.timeout_ms / 1000
    config: dict[str, Any] = {
        "auth": _auth(settings, ctx),
        "ssl_context": _tls(settings, uri, ctx.home),
        "connection_timeout": timeout_s,
        "connection_acquisition_timeout": timeout_s,
        "max_connection_pool_size": settings.connections,
        "max_transaction_retry_time": timeout_s * _RETRY_SHARE,
        "initial_retry_delay": 0.05,
        "notifications_min_severity": NotificationMinimumSeverity.OFF,
        "telemetry_disabled": True,
        "user_agent": f"swe-ai-fleet/{__version__}",
    }
    address = f"{uri.scheme.removesuffix('+s')}://{host}:{uri.port or _PORT}"
    async with AsyncGraphDatabase.driver(address, **config) as driver:
        link = Link(driver, settings.database or None, where, timeout_s)
        await prepared(link)
        await _require_recent(driver, where)
        yield link


def _parsed(text: str) -> SplitResult:
    try:
        uri = urlsplit(text)
        port = uri.port
    except ValueError as error:
        raise ProfileError(f"{text!r} is no address: {error}", _EXAMPLE, field="uri") from None
    if uri.username is not None or uri.password is not None:
        raise ProfileError(
            "holds credentials, which a profile must not",
            "set username, and password to the name of a secret",
            field="uri",
        )
    if uri.scheme.endswith("+ssc"):
        raise ProfileError(
            f"{uri.scheme} trusts whoever answers",
            f"write {uri.scheme.removesuffix('sc')}, and set ca to the server's certificate",
            field="uri",
        )
    known = uri.scheme in (*_PLAIN, *_TLS) and uri.hostname and port != 0
    if not known or uri.path.strip("/") or uri.query or uri.fragment:
        raise ProfileError(f"{text!r} is no address of a Neo4j", _EXAMPLE, field="uri")
    return uri


def _auth(settings: Neo4jSettings, ctx: FactoryContext) -> tuple[str, str] | None:
    if not settings.password:
        return None
    if not settings.username:
        raise ProfileError("is empty", "name the user whose password it is", field="username")
    return settings.username, ctx.secret(settings.password)


def _tls(settings: Neo4jSettings, uri: SplitResult, home: Path) -> ssl.SSLContext | None:
    """What a TLS connection is made with, read from the files once; None for a plain one."""
    if uri.scheme in _PLAIN:
        for field in ("ca", "cert", "key"):
            if getattr(settings, field):
                raise ProfileError(
                    "is of no use without TLS", "write uri as bolt+s://...", field=field
                )
        return None
    files = {field: _file(settings, field, home) for field in ("ca", "cert", "key")}
    if files["key"] and not files["cert"]:
        raise ProfileError("is of no use without a certificate", "set cert", field="key")
    context = ssl.create_default_context()
    try:
        if files["ca"]:
            context.load_verify_locations(files["ca"])
        if files["cert"]:
            context.load_cert_chain(files["cert"], files["key"])
    except (OSError, ssl.SSLError) as error:
        raise ProfileError(
            f"the PEM files cannot be used: {error}", "see to ca, cert and key", field="cert"
        ) from None
    return context


def _file(settings: Neo4jSettings, field: str, home: Path) -> Path | None:
    named = getattr(settings, field)
    if not named:
        return None
    path: Path = home / named
    if not path.is_file():
        raise ProfileError(f"there is no file {path}", "name a PEM file", field=field)
    return path


async def _require_recent(driver: AsyncDriver, where: str) -> None:
    with translate(where):
        agent = (await driver.get_server_info()).agent
    found = _SERVER.search(agent)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        raise StoreError(
            f"{where} calls itself {agent}",
            f"set uri to a Neo4j {_OLDEST[0]}.{_OLDEST[1]} or newer",
        )
