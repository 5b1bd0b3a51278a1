"""The libraries of a Neo4j Community server, fetched once and held against their checksums.

`deploy/neo4j/pom.xml` says which server; `libraries.lock` beside it what Maven resolves it to, as
lines of `SHA-256 group:artifact:version[:classifier]`. Where there is Maven it fetches them, by its
own configuration; else the package jgo does, from Maven Central, one by one as the lock names them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from fleet_adapters.llamacpp.locking import file_lock
from fleet_bootstraps.stack import jgo_fetch
from fleet_bootstraps.stack.jgo_fetch import jar_name
from fleet_bootstraps.stack.tied import tied
from fleet_core.errors import NotFound, PluginError, StoreError, Unavailable

VERSION = "5.26.30"
OTHERWISE = "or set graph.uri to a Neo4j of your own, or do without: --set graph.use=sqlite"
"""The way out where no server of ours can be had; follows another hint."""

_LOG = logging.getLogger("fleet.stack")
_FETCH_S = 900.0
_LAST_WORDS = 600


def described() -> Path:
    """The folder with pom.xml and libraries.lock: in the package, or in the tree it runs from."""
    packaged = Path(__file__).with_name("neo4j_server")
    tree = Path(__file__).parents[3] / "deploy" / "neo4j"
    for folder in (packaged, tree):
        if (folder / "pom.xml").is_file():
            return folder
    raise NotFound(f"there is neither {packaged} nor {tree}", "install swe-ai-fleet anew")


def cached_servers() -> Path:
    """Where tests, features and benches keep servers, which are fetched once for all runs.

    FLEET_TEST_SERVERS, or else a folder in the user's cache.
    """
    if named := os.environ.get("FLEET_TEST_SERVERS"):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "swe-ai-fleet" / "servers"


def locked(text: str) -> Mapping[str, str]:
    """The SHA-256 by `group:artifact:version[:classifier]` of a lock file's text."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return MappingProxyType({coordinate: digest for digest, coordinate in lines})


async def ensure_neo4j(servers: Path, *, maven: str | None = None) -> Path:
    """The folder of a server's libraries, fetched where they are not there yet (121 MB).

    Args:
        servers: where servers are kept; made where it does not exist.
        maven: the `mvn` to use; by default the one on the path, and "" for none.

    Raises:
        PluginError: there is neither Maven nor jgo.
        Unavailable: they could not be fetched; says why, and the way out.
        StoreError: what came is not what is locked, or the folder cannot be written.
    """
    target = servers / f"neo4j-{VERSION}"
    if target.is_dir():  # it gets its name only once every checksum held
        return target
    folder = described()
    wanted = locked((folder / "libraries.lock").read_text("utf-8"))
    try:
        async with file_lock(servers / f".{target.name}.lock"):
            if target.is_dir():  # another process was faster
                return target
            _discard_leftovers(servers)
            _LOG.info("fetching Neo4j %s (%d libraries, 121 MB)", VERSION, len(wanted))
            with tempfile.TemporaryDirectory(prefix=".fetch-neo4j-", dir=servers) as made:
                fetched = Path(made) / "libraries"
                program = shutil.which("mvn") if maven is None else maven
                if program:
                    await _by_maven(program, folder / "pom.xml", fetched)
                else:
                    await by_jgo(wanted, fetched)
                await asyncio.to_thread(require_locked, fetched, wanted)
                fetched.replace(target)
    except OSError as error:
        raise StoreError(f"{servers} cannot be written: {error.strerror}", OTHERWISE) from None
    return target


def require_locked(folder: Path, wanted: Mapping[str, str]) -> None:
    """Refuse a folder that holds other files than those.

    Raises:
        StoreError: names the first that is missing, strange, or another one.
    """
    expected = {jar_name(coordinate): digest for coordinate, digest in wanted.items()}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    hint = f"have your package registry serve Neo4j {VERSION} unchanged, {OTHERWISE}"
    for name in sorted(expected.keys() ^ there):
        verb = "was not fetched" if name in expected else "is not in libraries.lock"
        raise StoreError(f"Neo4j's {name} {verb}", hint)
    for name, digest in expected.items():
        with (folder / name).open("rb") as reading:
            found = hashlib.file_digest(reading, "sha256").hexdigest()
        if found != digest:
            raise StoreError(f"Neo4j's {name} has SHA-256 {found}, expected {digest}", hint)


async def by_jgo(wanted: Iterable[str], folder: Path) -> None:
    """Fetch those files into the folder, which is made.

    Raises:
        PluginError: jgo is not installed.
        Unavailable: one could not be fetched.
    """
    if find_spec("jgo") is None:
        raise PluginError(
            "Neo4j's libraries need Maven (mvn) or the package jgo to be fetched",
            f"install swe-ai-fleet[servers], {OTHERWISE}",
        )
    await _run("jgo", [sys.executable, "-P", jgo_fetch.__file__, str(folder)], "\n".join(wanted))


async def _by_maven(program: str, pom: Path, folder: Path) -> None:
    words = (program, "--batch-mode", "--quiet", "--file", str(pom))
    await _run("Maven", [*words, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], "")


async def _run(name: str, command: list[str], told: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *tied(command), stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(_FETCH_S):
            said, _ = await process.communicate(told.encode())
    except TimeoutError:
        raise Unavailable(f"{name} has not fetched Neo4j after {_FETCH_S:g} s", OTHERWISE) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = " ".join(said.decode("utf-8", "replace")[-_LAST_WORDS:].split())
        raise Unavailable(
            f"{name} could not fetch Neo4j: {last}",
            f"see whether its repository can be reached, {OTHERWISE}",
        )


def _discard_leftovers(servers: Path) -> None:
    """What a killed fetch left; we hold the lock, so nobody else is at it."""
    for folder in servers.glob(".fetch-neo4j-*"):
        shutil.rmtree(folder, ignore_errors=True)
