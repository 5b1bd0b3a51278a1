"""The Neo4j server: fetched as locked, started where it was, alone on its folder, and ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import socket
import stat
from pathlib import Path

import pytest

from fleet_bootstraps.stack import java, neo4j_libraries
from fleet_bootstraps.stack.java import java_of
from fleet_bootstraps.stack.jgo_fetch import jar_name
from fleet_bootstraps.stack.neo4j import JAVA, neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import (
    OTHERWISE,
    VERSION,
    by_jgo,
    described,
    ensure_neo4j,
    locked,
    require_locked,
)
from fleet_core.errors import PluginError, StoreError, Unavailable

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
LOCK = locked((described() / "libraries.lock").read_text("utf-8"))
SMALL = {coordinate: LOCK[coordinate] for coordinate in LOCK if "native-epoll" in coordinate}


async def test_it_begins_with_what_its_folder_holds_and_ends(
    tmp_path: Path, libraries: Path
) -> None:
    folder = tmp_path / "a folder é"
    async with neo4j_server(folder, libraries) as first:
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
        assert first.password not in repr(first)
        assert first.password not in _command_line(first.pid)
        assert _listening(first.pid) in ({("127.0.0.1", first.port)}, set())
        with pytest.raises(StoreError, match=f"process {first.pid}") as caught:
            async with neo4j_server(folder, libraries):
                pass
        assert caught.value.hint
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)
    with pytest.raises(StoreError, match="another password") as caught:
        async with neo4j_server(folder, libraries, password="another one"):
            pass
    assert caught.value.hint
    async with neo4j_server(folder, libraries, port=first.port, short_lived=True) as again:
        assert (again.uri, again.password) == (first.uri, first.password)
        os.kill(again.pid, signal.SIGKILL)
    async with neo4j_server(folder, libraries, password=first.password, short_lived=True):
        pass
    assert not (folder / "neo4j.pid").exists()


def _command_line(pid: int) -> str:
    """What anybody on the machine sees of a process; empty where the machine does not tell."""
    shown = Path(f"/proc/{pid}/cmdline")
    return shown.read_text() if shown.exists() else ""


def _listening(pid: int) -> set[tuple[str, int]]:
    """The addresses that a process listens on; empty where the machine does not tell."""
    folder = Path(f"/proc/{pid}")
    if not folder.exists():
        return set()
    own = {str(fd.readlink()) for fd in (folder / "fd").iterdir() if fd.is_symlink()}
    found = set()
    for name in ("tcp", "tcp6"):
        for line in (folder / "net" / name).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in own:
                address, port = words[1].split(":")
                found.add((_host(address), int(port, 16)))
    return found


def _host(address: str) -> str:
    """Of `/proc/net/tcp` or `tcp6`, where an IPv4 address is the last of four words."""
    if len(address) == 32 and not address.startswith("0" * 16 + "FFFF0000"):
        return address
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(address[-8:])))


async def test_a_taken_port_is_named(tmp_path: Path, libraries: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StoreError, match=f"port {port} is taken"):
            async with neo4j_server(tmp_path, libraries, port=port):
                pass


async def test_a_server_that_does_not_start_says_why(tmp_path: Path, libraries: Path) -> None:
    with pytest.raises(StoreError, match=r"no\.such\.setting") as caught:
        async with neo4j_server(tmp_path, libraries, settings={"no.such.setting": "1"}):
            pass
    assert str(tmp_path / "neo4j.log") in caught.value.hint
    with pytest.raises(Unavailable, match=r"does not serve after 0\.1 s"):
        async with neo4j_server(tmp_path, libraries, timeout_s=0.1):
            pass


async def test_the_lock_is_of_the_pom() -> None:
    pom = (described() / "pom.xml").read_text("utf-8")
    assert f"<version>{VERSION}</version>" in pom
    named = re.findall(
        r"<dependency>\s*<groupId>(.*?)</groupId>\s*<artifactId>(.*?)</artifactId>", pom
    )
    assert {f"{group}:{artifact}:{VERSION}" for group, artifact in named} <= set(LOCK)
    assert len({jar_name(coordinate) for coordinate in LOCK}) == len(LOCK) > 200


async def test_without_maven_a_package_fetches_what_is_locked(tmp_path: Path) -> None:
    assert len(SMALL) == 2
    await by_jgo(SMALL, tmp_path / "fetched")
    require_locked(tmp_path / "fetched", SMALL)
    with pytest.raises(Unavailable, match="could not fetch") as caught:
        await by_jgo(["org.neo4j:neo4j:5.26.30:nosuch"], tmp_path / "none")
    assert "graph.uri" in caught.value.hint


async def test_without_maven_and_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neo4j_libraries, "find_spec", lambda _: None)
    with pytest.raises(PluginError, match="need Maven") as caught:
        await ensure_neo4j(tmp_path, maven="")
    assert "swe-ai-fleet[servers]" in caught.value.hint
    assert not list(await asyncio.to_thread(tmp_path.glob, "*neo4j-*/"))


async def test_a_maven_that_fails_is_quoted(tmp_path: Path) -> None:
    failing = tmp_path / "mvn"
    failing.write_text("#!/bin/sh\necho no route to the repository\nexit 1\n")
    failing.chmod(0o755)
    with pytest.raises(Unavailable, match="no route to the repository") as caught:
        await ensure_neo4j(tmp_path / "servers", maven=str(failing))
    assert caught.value.hint
    assert not (tmp_path / "servers" / f"neo4j-{VERSION}").exists()


async def test_libraries_that_are_not_the_locked_ones_are_refused(tmp_path: Path) -> None:
    wanted = {"g:a:1": hashlib.sha256(b"a").hexdigest(), "g:b:2:linux": "00"}
    with pytest.raises(StoreError, match=r"a-1\.jar was not fetched"):
        require_locked(tmp_path, wanted)
    (tmp_path / "a-1.jar").write_bytes(b"a")
    (tmp_path / "b-2-linux.jar").write_bytes(b"b")
    with pytest.raises(StoreError, match=r"b-2-linux\.jar has SHA-256") as caught:
        require_locked(tmp_path, wanted)
    assert caught.value.hint
    (tmp_path / "c.jar").touch()
    with pytest.raises(StoreError, match=r"c\.jar is not in"):
        require_locked(tmp_path, wanted)


async def test_a_java_of_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await java_of(JAVA)).is_file()
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match=r"Java 17 or 21: .* is Java 11") as caught:
        await java_of(JAVA)
    assert "swe-ai-fleet[servers]" in caught.value.hint
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(PluginError, match="there is none here") as caught:
        await java_of(JAVA, OTHERWISE)
    assert "--set graph.use=sqlite" in caught.value.hint
