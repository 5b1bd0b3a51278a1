"""Proposals that try to pass without answering, to break out, or to take the machine down."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_adapters.sandbox.settings import SandboxSettings
from fleet_core.domain.job import CheckRequest, Evidence, Standing
from fleet_core.ports.check import Check

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

MARK_MB = 347  # an unusual limit: it stands on the command line of each process of these tests
SECRET = "what-was-expected-7131"

CHEATS = dict(
    re.findall(
        r"^## ([^\n]+)\n```python\n(.*?)\n```$",
        (Path(__file__).parent / "cheats.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings(memory_mb=MARK_MB, processes=12)


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 10
    while left := _alive():
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def _alive() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if f'"memory_mb": {MARK_MB}'.encode() in line:
            found.append(path.parent.name)
    return found


async def _run(check: Check, code: str, **spec: object) -> Evidence:
    request = CheckRequest("python", f"```python\n{code}\n```", {"time_ms": 1000, **spec})
    async with asyncio.timeout(60):
        return await check.run(request, timeout_ms=15_000)


def test_the_cheats_are_all_read() -> None:
    assert len(CHEATS) >= 25


@pytest.mark.parametrize("name", CHEATS)
async def test_a_cheat_fails_its_examples(check: Check, name: str) -> None:
    examples = [{"args": [1], "returns": SECRET}, {"args": [2], "returns": SECRET}]
    evidence = await _run(check, CHEATS[name], entry="f", examples=examples)
    assert (evidence.standing, evidence.score) == (Standing.FAILED, 0.0), evidence


@pytest.mark.parametrize("name", CHEATS)
async def test_a_cheat_fails_its_tests(check: Check, name: str) -> None:
    one, two = (f"def test_{n}():\n    assert f({n}) == {SECRET!r}\n" for n in (1, 2))
    evidence = await _run(check, CHEATS[name], tests=one + two)
    assert (evidence.standing, evidence.score) == (Standing.FAILED, 0.0), evidence


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("takes memory", "got MemoryError"),
        ("takes memory in parts", f"took more than {MARK_MB} MB of memory"),
        ("fills the disk", "No space left on device"),
        ("floods the output", "printed more than 65536 bytes"),
        ("floods the result", "returned more than 4194304 bytes"),
        ("loops", "did not end within 1000 ms"),
        ("exits hard", "ended the process instead of returning"),
        ("kills all", "ended the sandbox"),
    ],
)
async def test_each_limit_is_the_one_that_ends_it(check: Check, name: str, reason: str) -> None:
    evidence = await _run(check, CHEATS[name], entry="f", examples=[{"args": [1], "returns": 1}])
    assert reason in evidence.output


async def _finds(check: Check, code: str) -> object:
    """What a proposal's f() returns, read from the evidence of a wrong expectation."""
    evidence = await _run(check, code, entry="f", examples=[{"returns": "?"}])
    return evidence.output.removeprefix("f(): expected '?', got ")


async def test_it_sees_no_files_of_the_host(check: Check, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    home = f"{os.environ.get('HOME', '/root')}/.bashrc"
    paths = ["/etc/passwd", "/etc/shadow", home, str(tmp_path / "secret")]
    paths += [__file__, "/var/log", "/run", "/sys/kernel", "/proc/kcore"]
    code = f"import os\ndef f():\n    return [p for p in {paths!r} if os.access(p, os.R_OK)]"
    assert await _finds(check, code) == "[]"


async def test_it_sees_no_environment_of_the_host(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    code = (
        "import glob, os\ndef f():\n    seen = repr(os.environ)\n"
        "    for path in glob.glob('/proc/[0-9]*/environ'):\n"
        "        try: seen += open(path).read()\n        except OSError: pass\n"
        "    return ['PATH' in seen, 'API_KEY' in seen, 'sk-secret' in seen]"
    )
    assert await _finds(check, code) == "[True, False, False]"


async def test_it_writes_to_its_own_tmp_only(check: Check) -> None:
    code = (
        "import os\ndef f():\n    done = []\n"
        "    for root, dirs, files in os.walk('/'):\n"
        "        if root.startswith('/proc'): continue\n"
        "        try:\n"
        "            open(root + '/probe-4711', 'w').close(); done.append(root)\n"
        "        except OSError: pass\n"
        "        if root.count('/') > 4: dirs.clear()\n"
        "    return sorted(done)"
    )
    assert await _finds(check, code) == "['/dev/shm', '/tmp']"
    assert "probe-4711" not in os.listdir("/tmp")  # noqa: PTH208 -- one short look


async def test_it_reaches_no_port_of_the_host(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            f"import socket\ndef f():\n"
            f"    try: socket.create_connection(('127.0.0.1', {port}), 1)\n"
            "    except OSError as e: return type(e).__name__\n    return 'connected'"
        )
        assert await _finds(check, code) != "'connected'"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_it_has_no_capabilities_and_no_root(check: Check) -> None:
    code = (
        "import os\ndef f():\n    status = open('/proc/self/status').read()\n"
        "    caps = [l.split()[1] for l in status.splitlines() if l[:6] in ('CapEff', 'CapPrm')]\n"
        "    return [os.getuid() > 0, caps == ['0' * 16] * 2, os.getgroups() in ([], [65534])]"
    )
    assert await _finds(check, code) == "[True, True, True]"


async def test_it_makes_no_namespace_of_its_own(check: Check) -> None:
    code = "import ctypes\ndef f():\n    return ctypes.CDLL(None).unshare(0x10000000)"
    assert await _finds(check, code) == "-1"


async def test_it_has_the_standard_library_alone(check: Check) -> None:
    code = (
        "import importlib.util as u, sys, decimal, sqlite3, asyncio\nimport site\n"
        "def f():\n    sys.path += site.getsitepackages([sys.base_prefix])\n"
        "    return [n for n in ('pip', 'pytest', 'yaml', 'fleet_plugins') if u.find_spec(n)]"
    )
    assert await _finds(check, code) == "[]"


async def test_nothing_survives_the_kill_of_the_fleet(check: Check, tmp_path: Path) -> None:
    script = tmp_path / "fleet.py"
    script.write_text(
        "import asyncio, logging\n"
        "from fleet_adapters.sandbox.check import open_sandbox\n"
        "from fleet_adapters.sandbox.settings import SandboxSettings\n"
        "from fleet_core.domain.job import CheckRequest\n"
        "async def main():\n"
        f"    settings = SandboxSettings(memory_mb={MARK_MB}, timeout_ms=600_000)\n"
        "    async with open_sandbox(settings, logging.getLogger()) as check:\n"
        "        print('ready', flush=True)\n"
        "        spec = {'entry': 'f', 'examples': [{'returns': 1}], 'time_ms': 600_000}\n"
        "        code = 'def f():\\n    while True: pass'\n"
        "        await check.run(CheckRequest('python', code, spec), timeout_ms=600_000)\n"
        "asyncio.run(main())\n"
    )
    fleet = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE
    )
    assert fleet.stdout is not None
    async with asyncio.timeout(60):
        assert await fleet.stdout.readline() == b"ready\n"
        while len(_alive()) < 3:  # noqa: ASYNC110 -- another process's doing has no event
            await asyncio.sleep(0.02)
        fleet.kill()
        await fleet.wait()
