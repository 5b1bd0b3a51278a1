"""A user namespace for a host that runs as root.

The kernel does not count the processes of root against RLIMIT_NPROC, and a namespace that maps its
user to root does not change that. So root prepares a namespace that also maps users who own
nothing on the system, and the sandbox's first process becomes one of them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

USERS = 4096
_PREFERRED = 700_000_000
_WAIT_SECONDS = 10
# It enters the namespace, is mapped from outside, and forbids further namespaces inside.
_HOLDER = """
import ctypes, sys
failed = ctypes.CDLL(None, use_errno=True).unshare(0x10000000)
print("failed" if failed else "ready", flush=True)
sys.stdin.readline()
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
print("closed", flush=True)
sys.stdin.readline()
"""


@asynccontextmanager
async def prepared_namespace() -> AsyncIterator[int | None]:
    """A descriptor of the namespace; None where this process may not make one.

    Inside it, users 1 to `USERS` are ordinary ones; 0 is root without any power outside.
    """
    if os.geteuid() != 0:
        yield None
        return
    fd = await _make()
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


async def _make() -> int | None:
    first = _first_user()
    if first is None:
        return None
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _HOLDER, stdin=pipe, stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert holder.stdin is not None, "asked for above"
    assert holder.stdout is not None, "asked for above"
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            if await holder.stdout.readline() != b"ready\n":
                return None
            _map(holder.pid, first)
            holder.stdin.write(b"\n")
            if await holder.stdout.readline() != b"closed\n":
                return None
            return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, TimeoutError):  # the caller tries without, and its probe has the last word
        return None
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()


def _map(pid: int, first: int) -> None:
    for name in ("uid_map", "gid_map"):
        text = f"0 0 1\n1 {first} {USERS}\n"
        Path(f"/proc/{pid}/{name}").write_text(text, encoding="ascii")


def _first_user() -> int | None:
    """The first of `USERS` user ids that this process may hand out, away from the usual ones."""
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:  # no /proc, or a kernel without user namespaces: there is none to hand out
        return None
    ranges = [(int(start), int(size)) for start, _, size in map(str.split, lines)]
    for start, size in ranges:
        if start <= _PREFERRED and start + size >= _PREFERRED + USERS:
            return _PREFERRED
    roomy = [start + size - USERS for start, size in ranges if size > 2 * USERS]
    return max(roomy, default=None)
