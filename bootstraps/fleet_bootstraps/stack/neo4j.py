"""A Neo4j Community server on this machine only, from its libraries and a Java."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fleet_bootstraps.stack.child import HOST, Child, end, held, on_a_port
from fleet_bootstraps.stack.java import java_of
from fleet_bootstraps.stack.neo4j_libraries import OTHERWISE
from fleet_core.errors import StoreError

USER = "neo4j"
LOG = "neo4j.log"
PID = "neo4j.pid"
PASSWORD = "password"  # noqa: S105 -- the name of a file
JAVA = (17, 21)  # the versions that Neo4j 5.26 is made for

_MAIN = "org.neo4j.server.CommunityEntryPoint"
_END_S = 20.0
_ANSWER_S = 1.0
_HELLO = b"\x60\x60\xb0\x17" + b"\x00\x04\x04\x05" + b"\x00" * 12  # Bolt 5.0 to 5.4
_ROUNDS = 1024
# What Neo4j's own launcher passes, but for a garbage collector that suits a small heap.
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:+ExitOnOutOfMemoryError",
    *(
        f"--add-opens=java.base/{name}=ALL-UNNAMED"
        for name in ("java.nio", "java.io", "sun.nio.ch")
    ),
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
    "-Dlog4j2.disable.jmx=true",
    "-Dfile.encoding=UTF-8",
)


@dataclass(frozen=True, slots=True)
class Neo4jServer:
    """A server that answers; its user is `neo4j`."""

    uri: str
    port: int
    pid: int
    password: str = field(repr=False)


@asynccontextmanager
async def neo4j_server(
    folder: Path,
    libraries: Path,
    *,
    port: int = 0,
    password: str = "",
    settings: Mapping[str, str] | None = None,
    heap_mb: int = 384,
    short_lived: bool = False,
    timeout_s: float = 90.0,
) -> AsyncIterator[Neo4jServer]:
    """Run a server for as long as the context is held; it begins with what the folder holds.

    It speaks Bolt on loopback and nothing else, and asks for a password from the first moment on.
    An acknowledged write survives a kill.

    Args:
        folder: where its data, its password, `neo4j.log` and `neo4j.pid` are; made if missing.
        libraries: what `ensure_neo4j` fetched.
        port: 0 takes a free one.
        password: of the user neo4j, 8 characters or more; empty for the folder's own, which is
            made up when the folder is.
        settings: further lines of its configuration, which win over ours.
        heap_mb: of its heap at most; it takes about as much again besides.
        short_lived: compile less: it starts with two thirds of the work, and never gets as fast.
        timeout_s: how long it may take to load what the folder holds.

    Raises:
        PluginError: there is no Java for it.
        StoreError: it does not start, one runs on that folder already, or the folder was made
            with another password.
        Unavailable: it does not answer in time.
    """
    java = await java_of(JAVA, OTHERWISE)
    with held(folder, "neo4j", "Neo4j") as lock:
        password = _password(folder, password)
        options = (f"-Xms{min(heap_mb, 128)}m", f"-Xmx{heap_mb}m", *_JVM)
        if short_lived:
            options += ("-XX:TieredStopAtLevel=1",)
        command = _command(java, options, libraries, folder)
        (folder / "conf").mkdir(exist_ok=True)

        async def start(at: int) -> Process:
            (folder / "conf" / "neo4j.conf").write_text(_configuration(at, settings or {}))

            async def serves(_: Process, said: bytes) -> bool:
                return b"Started.\n" in said and await _answers(at)

            log, pid = folder / LOG, folder / PID
            child = Child("Neo4j", command, folder, log, lock, _END_S, pid=pid)
            return await child.started(serves, timeout_s)

        process, own = await on_a_port(start, port)
        try:
            yield Neo4jServer(f"bolt://{HOST}:{own}", own, process.pid, password)
        finally:
            await end(process, _END_S)
            (folder / PID).unlink(missing_ok=True)


def _command(
    java: Path, options: tuple[str, ...], libraries: Path, folder: Path
) -> tuple[str, ...]:
    folder = folder.absolute()
    return (
        *(str(java), *options),
        *("-cp", f"{libraries.absolute()}/*", _MAIN),
        *(f"--home-dir={folder}", f"--config-dir={folder / 'conf'}", "--console-mode"),
    )


def _password(folder: Path, asked: str) -> str:
    """The folder's password, which the server reads when it starts for the first time."""
    kept = folder / PASSWORD
    if kept.exists():
        password = kept.read_text("utf-8")
        if asked and asked != password:
            raise StoreError(
                f"{folder} was made with another password",
                f"give that one, or none; or move {folder} away",
            )
        return password
    password = asked or secrets.token_urlsafe(24)
    credential = folder / "data" / "dbms" / "auth.ini"
    credential.parent.mkdir(parents=True, exist_ok=True)
    _write_secret(credential, f"{USER}:{_credential(password)}:\n")
    _write_secret(kept, password)
    return password


def _credential(password: str) -> str:
    """As `neo4j-admin dbms set-initial-password` writes it, which wants it on a command line."""
    salt = secrets.token_bytes(32)
    digest = hashlib.sha256(salt + password.encode()).digest()
    for _ in range(_ROUNDS - 1):
        digest = hashlib.sha256(digest).digest()
    return f"SHA-256,{digest.hex()},{salt.hex()},{_ROUNDS}"


def _write_secret(path: Path, text: str) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as writing:
        writing.write(text)


def _configuration(port: int, settings: Mapping[str, str]) -> str:
    own = {
        "server.bolt.listen_address": f"{HOST}:{port}",
        "server.bolt.advertised_address": f"{HOST}:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "server.memory.pagecache.size": "64m",
        "db.tx_log.preallocate": "false",  # else an empty database takes 512 MB
        "dbms.usage_report.enabled": "false",
        # Else it waits ten seconds for connections that it has closed.
        "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",
    }
    return "".join(f"{name}={value}\n" for name, value in {**own, **settings}.items())


async def _answers(port: int) -> bool:
    """Whether Bolt agrees on a version there."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(_HELLO)
                return any(await reader.readexactly(4))
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, asyncio.IncompleteReadError):
        return False  # TimeoutError is an OSError
