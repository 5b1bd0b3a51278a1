"""From the settings to a link with a server that can keep what it acknowledges."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection

from fleet_adapters.valkey._errors import refused_commands
from fleet_adapters.valkey._keys import Keys
from fleet_adapters.valkey._line import Argument
from fleet_adapters.valkey._link import Link, Script
from fleet_adapters.valkey.plugin import ValkeySettings
from fleet_core.errors import ProfileError, StoreError
from fleet_plugins.api import FactoryContext

_PLAIN = ("valkey", "redis")
_TLS = ("valkeys", "rediss")
_EXAMPLE = "write it as valkey://host:6379/0, or valkeys:// for TLS"
_PORT = 6379
_NAMESPACE = re.compile(r"[A-Za-z0-9._-]{1,64}")

# What is refused within a script is refused half-way through it: so ask for all of it before.
_MAY = Script("""
local no = {}
for _, sample in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(sample, '%S+') do
    words[#words + 1] = word == 'KEY' and KEYS[1] or word
  end
  if not redis.acl_check_cmd(unpack(words)) then no[#no + 1] = words[1] end
end
return table.concat(no, ' ')
""")
_SAMPLES: tuple[Argument, ...] = (
    "get KEY",
    "mget KEY",
    "set KEY 1",
    "getrange KEY 0 1",
    "del KEY",
    "pttl KEY",
    "time",
    "zadd KEY 0 1",
    "zrem KEY 1",
    "zrangebylex KEY - +",
    "zrangebyscore KEY 0 1",
    "eval 1 0",
    "evalsha 1 0",
)


@asynccontextmanager
async def opened(settings: ValkeySettings, ctx: FactoryContext) -> AsyncIterator[Link]:
    """A link to the server, which was asked whether it will do.

    Raises:
        ProfileError: a setting is wrong.
        StoreError: the server refuses, or may lose what it acknowledged.
        Unavailable: it does not answer.
    """
    url = _parsed(settings.url)
    if not _NAMESPACE.fullmatch(settings.namespace):
        raise ProfileError(
            f"{settings.namespace!r} is no namespace",
            "use 1 to 64 letters, digits, dots, hyphens and underscores",
            field="namespace",
        )
    for field in ("timeout_ms", "connections"):
        if getattr(settings, field) < 1:
            raise ProfileError("should be at least 1", field=field)
    where = f"the server at {url.hostname}:{url.port or _PORT}"
    connect = _connecting(settings, url, ctx)
    async with Link(connect, where, settings.timeout_ms / 1000, settings.connections) as link:
        await _verify(link, settings)
        yield link


def _parsed(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ProfileError(f"{text!r} is no address: {error}", _EXAMPLE, field="url") from None
    if url.username is not None or url.password is not None:
        raise ProfileError(
            "holds credentials, which a profile must not",
            "set username, and password to the name of a secret",
            field="url",
        )
    known = url.scheme in (*_PLAIN, *_TLS) and url.hostname and port != 0
    if not known or url.query or url.fragment or not re.fullmatch(r"(/\d{0,9})?", url.path):
        raise ProfileError(f"{text!r} is no address of a server", _EXAMPLE, field="url")
    return url


def _connecting(
    settings: ValkeySettings, url: SplitResult, ctx: FactoryContext
) -> Callable[[], AbstractConnection]:
    """Makes connections that are not connected yet."""
    timeout_s = settings.timeout_ms / 1000
    given: dict[str, Any] = {
        "host": url.hostname,
        "port": url.port or _PORT,
        "db": int(url.path.strip("/") or 0),
        "username": settings.username or None,
        "password": ctx.secret(settings.password) if settings.password else None,
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        "driver_info": None,
    }
    if url.scheme in _PLAIN:
        for field in ("ca", "cert", "key"):
            if getattr(settings, field):
                raise ProfileError(
                    "is of no use without TLS", "write url as valkeys://...", field=field
                )
        return lambda: Connection(**given)
    given["ssl_ca_certs"] = _file(settings, "ca", ctx.home)
    given["ssl_certfile"] = _file(settings, "cert", ctx.home)
    given["ssl_keyfile"] = _file(settings, "key", ctx.home)
    if settings.key and not settings.cert:
        raise ProfileError("is of no use without a certificate", "set cert", field="key")
    context = SSLConnection(**given).ssl_context
    try:
        context.get()
    except (OSError, ssl.SSLError) as error:
        raise ProfileError(
            f"the PEM files cannot be used: {error}", "see to ca, cert and key", field="cert"
        ) from None

    def connect() -> AbstractConnection:
        connection = SSLConnection(**given)
        connection.ssl_context = context  # read from the files once, and not in the event loop
        return connection

    return connect


def _file(settings: ValkeySettings, field: str, home: Path) -> str | None:
    named = getattr(settings, field)
    if not named:
        return None
    path = home / named
    if not path.is_file():
        raise ProfileError(f"there is no file {path}", "name a PEM file", field=field)
    return str(path)


async def _verify(link: Link, settings: ValkeySettings) -> None:
    info = _facts(await link.call("INFO"))
    if info.get("cluster_enabled") == "1":
        raise StoreError(
            f"{link.where} is a node of a cluster, where one commit cannot span several keys",
            "name a server that stands alone",
        )
    if info.get("role") == "slave":
        raise StoreError(f"{link.where} is a replica", "set url to the primary")
    evicts = info.get("maxmemory_policy", "noeviction")
    if evicts != "noeviction" and info.get("maxmemory", "0") != "0":
        raise StoreError(
            f"{link.where} drops what was written when memory is short (maxmemory-policy {evicts})",
            "set its maxmemory-policy to noeviction",
        )
    if settings.durable and info.get("aof_enabled") != "1":
        raise StoreError(
            f"{link.where} keeps no append-only file: it may lose an acknowledged write",
            "set its appendonly to yes; or set durable = false, for what may be lost",
        )
    refused = await link.run(_MAY, [Keys(settings.namespace).index], list(_SAMPLES))
    if refused:
        raise refused_commands(
            f"{link.where} does not permit this user {refused.decode()} on keys that begin with"
            f" {settings.namespace}:"
        )


def _facts(info: bytes) -> dict[str, str]:
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
