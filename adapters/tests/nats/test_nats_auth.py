"""Every way to sign in, on servers that ask for it; wrong credentials fail at once and in words."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # brings no types
import pytest

from fleet_bootstraps.stack.nats import nats_server
from fleet_core.domain.events import Event
from fleet_core.errors import FleetError, ProfileError, StoreError, Unavailable

pytestmark = pytest.mark.anyio

_USER = """authorization { users: [
  {user: fleet, password: "right"}
  {user: reader, password: "right", permissions: {
    publish: {deny: ["agent.results.>"]}
  }}
  {user: blind, password: "right", permissions: {
    subscribe: {deny: ["_INBOX.>"]}
  }}
  {user: narrow, password: "right", permissions: {
    publish: {allow: ["$JS.API.STREAM.INFO.*", "agent.>"]}
    subscribe: {allow: ["_INBOX_NARROW.>"]}
  }}
] }"""


async def works(bus: Any) -> None:
    event = Event(os.urandom(8).hex(), "context.updated", {})
    await bus.publish([event])
    assert event.event_id in [s.event.event_id async for s in bus.replay(["context.>"])]


async def refused(opener: Any, error: type[FleetError], match: str, **settings: Any) -> None:
    """One clear error, well before the time for answering is over; without the secret in it."""
    async with asyncio.timeout(4):
        with pytest.raises(error, match=match) as caught:
            await opener.open("bus", **settings)
    assert "wrong" not in str(caught.value)


def key(prefix: int) -> Any:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


def public(pair: Any) -> str:
    return str(pair.public_key.decode())


def jwt(issuer: Any, subject: str, name: str, claims: dict[str, Any]) -> str:
    """A NATS JWT, as `nsc` writes it."""
    body = {
        "jti": os.urandom(8).hex(),
        "iat": int(time.time()),
        "iss": public(issuer),
        "name": name,
        "sub": subject,
        "nats": {"version": 2, **claims},
    }
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
    ]
    signed = base64.urlsafe_b64encode(issuer.sign(b".".join(parts))).rstrip(b"=")
    return b".".join([*parts, signed]).decode()


async def test_user_and_password(opener: Any, tmp_path: Path) -> None:
    opener.secrets = {"NATS_PASSWORD": "right", "OTHER": "wrong"}
    async with nats_server(tmp_path / "s", config=_USER) as opener.url:
        await works(await opener.open("bus", user="fleet", password_secret="NATS_PASSWORD"))
        said = "refuses this login: Authorization Violation"
        await refused(opener, StoreError, said, user="fleet", password_secret="OTHER")
        await refused(opener, StoreError, said)
        await opener.close()


async def test_nkey(opener: Any, tmp_path: Path) -> None:
    ours, strangers = key(nkeys.PREFIX_BYTE_USER), key(nkeys.PREFIX_BYTE_USER)
    opener.secrets = {
        "SEED": ours.seed.decode(),
        "STRANGER": strangers.seed.decode(),
        "NONE": "wrong",
    }
    config = f"authorization {{ users: [ {{nkey: {public(ours)}}} ] }}"
    async with nats_server(tmp_path / "s", config=config) as opener.url:
        await works(await opener.open("bus", nkey_secret="SEED"))
        await refused(opener, StoreError, "refuses this login", nkey_secret="STRANGER")
        await refused(opener, ProfileError, "NONE holds no nkey seed", nkey_secret="NONE")
        await opener.close()


async def test_creds_file(opener: Any, tmp_path: Path) -> None:
    operator, account = key(nkeys.PREFIX_BYTE_OPERATOR), key(nkeys.PREFIX_BYTE_ACCOUNT)
    unlimited = ("subs", "data", "payload", "conn", "mem_storage", "disk_storage", "streams")
    everything = dict.fromkeys((*unlimited, "consumer", "imports", "exports", "leaf"), -1)
    account_claims = {"type": "account", "limits": {**everything, "wildcards": True}}
    system = key(nkeys.PREFIX_BYTE_ACCOUNT)
    config = "\n".join(
        (
            f"system_account: {public(system)}",
            f"operator: {jwt(operator, public(operator), 'O', {'type': 'operator'})}",
            "resolver: MEMORY",
            "resolver_preload: {",
            f"  {public(account)}: {jwt(operator, public(account), 'A', account_claims)}",
            f"  {public(system)}: {jwt(operator, public(system), 'S', {'type': 'account'})}",
            "}",
        )
    )
    for name, issuer in (("right", account), ("strangers", key(nkeys.PREFIX_BYTE_ACCOUNT))):
        user = key(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        (opener.home / f"{name}.creds").write_text(
            "-----BEGIN NATS USER JWT-----\n"
            f"{jwt(issuer, public(user), 'U', claims)}\n"
            "------END NATS USER JWT------\n\n"
            "-----BEGIN USER NKEY SEED-----\n"
            f"{user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )
    (opener.home / "torn.creds").write_text("-----BEGIN NATS USER JWT-----\nwrong\n")
    async with nats_server(tmp_path / "s", config=config) as opener.url:
        await works(await opener.open("bus", creds_file="right.creds"))
        await refused(opener, StoreError, "refuses this login", creds_file="strangers.creds")
        await refused(opener, ProfileError, "no user JWT and seed", creds_file="torn.creds")
        await refused(opener, ProfileError, "cannot be read", creds_file="missing.creds")
        await opener.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A CA, certificates of a server and a client, and a CA that neither knows."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine: TLS was not tested")
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "other"):
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        files = ("-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}")
        openssl(*new, "-x509", "-days", "1", *files, *usage)
    for name in ("server", "client"):
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1")
        files = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext")
        openssl("x509", "-req", *signing, *files)
    return folder


def tls(folder: Path, *, verify: bool) -> str:
    return (
        f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key"\n'
        f'ca_file: "{folder}/ca.pem", verify: {str(verify).lower()} }}'
    )


async def test_tls_with_our_ca(opener: Any, tmp_path: Path, certificates: Path) -> None:
    config = tls(certificates, verify=False)
    async with nats_server(tmp_path / "s", config=config) as opener.url:
        await works(await opener.open("bus", ca_file=str(certificates / "ca.pem")))
        other = str(certificates / "other.pem")
        await refused(opener, StoreError, "certificate verify failed", ca_file=other)
        await refused(opener, StoreError, "certificate verify failed")
        await refused(opener, ProfileError, "ca_file: cannot be used", ca_file="none.pem")
        await opener.close()


async def test_mutual_tls(opener: Any, tmp_path: Path, certificates: Path) -> None:
    ca_file = str(certificates / "ca.pem")
    ours = {
        "cert_file": str(certificates / "client.pem"),
        "key_file": str(certificates / "client.key"),
    }
    async with nats_server(tmp_path / "s", config=tls(certificates, verify=True)) as opener.url:
        await works(await opener.open("bus", ca_file=ca_file, **ours))
        await refused(opener, StoreError, "(?i)certificate", ca_file=ca_file)
        swapped = {"cert_file": ours["key_file"], "key_file": ours["cert_file"]}
        await refused(opener, ProfileError, "cert_file: cannot be used", **swapped)
        await opener.close()


async def test_tls_that_is_asked_for_is_never_left_out(
    opener: Any, tmp_path: Path, certificates: Path
) -> None:
    """No credentials go to a server that does not speak it."""
    heard = bytearray()

    async def in_the_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(in_the_clear, "127.0.0.1", 0)
    async with server:
        opener.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        opener.secrets = {"P": "hidden"}
        given = {"user": "fleet", "password_secret": "P"}
        ca_file = str(certificates / "ca.pem")
        await refused(opener, StoreError, "does not insist on TLS", ca_file=ca_file, **given)
    assert heard == b""


async def test_a_forbidden_publication_says_so_at_once(opener: Any, tmp_path: Path) -> None:
    opener.secrets = {"P": "right"}
    async with nats_server(tmp_path / "s", config=_USER) as opener.url:
        bus = await opener.open("bus", user="reader", password_secret="P")
        async with asyncio.timeout(4):
            with pytest.raises(StoreError, match=r"may not publish to agent\.results\.T1"):
                await bus.publish([Event("x", "agent.results.T1", {})])
        await works(bus)  # the others are not disturbed
        await opener.close()


async def test_a_user_who_may_hear_no_answers_is_told(opener: Any, tmp_path: Path) -> None:
    opener.secrets = {"P": "right"}
    async with nats_server(tmp_path / "s", config=_USER) as opener.url:
        given = {"user": "blind", "password_secret": "P", "answer_ms": 500}
        await refused(opener, Unavailable, 'violation for subscription to "_inbox', **given)
        await opener.close()


async def test_a_user_with_an_inbox_of_its_own(opener: Any, tmp_path: Path) -> None:
    opener.secrets = {"P": "right"}
    async with nats_server(tmp_path / "s", config=_USER) as opener.url:
        await opener.open("bus", user="fleet", password_secret="P")  # makes the streams
        narrow = {"user": "narrow", "password_secret": "P", "inbox_prefix": "_INBOX_NARROW"}
        bus = await opener.open("bus", **narrow)
        await bus.publish([Event("x", "agent.results.T1", {})])
        await opener.close()


async def test_a_login_that_is_withdrawn_is_waited_for(opener: Any, tmp_path: Path) -> None:
    """The server comes back without knowing us, then with: the port goes on."""
    opener.secrets = {"P": "right"}
    async with nats_server(tmp_path / "s", config=_USER) as opener.url:
        bus = await opener.open("bus", user="fleet", password_secret="P", answer_ms=700)
    port = int(opener.url.rpartition(":")[2])
    stranger = _USER.replace("right", "changed")
    async with nats_server(tmp_path / "s", port=port, config=stranger):
        with pytest.raises(Unavailable):
            await bus.publish([Event("x", "context.updated", {})])
    async with nats_server(tmp_path / "s", port=port, config=_USER):
        async with asyncio.timeout(20):
            while True:
                try:
                    await works(bus)
                    break
                except Unavailable:
                    continue
        await opener.close()


async def test_several_servers(opener: Any, shared_url: str) -> None:
    """One that is away does not matter."""
    await works(await opener.open("bus", servers=("nats://127.0.0.1:9", shared_url)))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"servers": ()}, "servers: names no server"),
        ({"servers": ("http://x:1",)}, "is no server"),
        ({"servers": ("nats://x",)}, "is no server"),
        ({"servers": ("nats://x:port",)}, "is no server"),
        ({"servers": ("nats://u:wrong@x:1",)}, "carries credentials"),
        ({"user": "u"}, "password_secret: user and password_secret go together"),
        ({"password_secret": "P"}, "user: user and password_secret go together"),
        ({"user": "u", "password_secret": "P", "nkey_secret": "N"}, "only one of"),
        ({"cert_file": "c"}, "key_file: cert_file and key_file go together"),
    ],
)
async def test_settings_that_cannot_be_name_the_key(
    opener: Any, settings: dict[str, Any], match: str
) -> None:
    opener.secrets = {"P": "p", "N": "n"}
    await refused(opener, ProfileError, match, **settings)
