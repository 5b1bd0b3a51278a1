"""The first process of ours in a sandbox: it runs one untrusted child at a time, within limits.

It holds nothing worth stealing: expected values never enter its sandbox. What it reports of a
child is data the host judges; a child that takes it over can only end the run.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time

from fleet_adapters.sandbox.inside import wire

TYPE_CHECKING = False  # importing typing would double the start-up time
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Work = Callable[[int], None]

TICK_MS = 20
MIB = 1024 * 1024
MAX_RESULT = 4 * MIB
REAP_SECONDS = 5.0
DISKS = ("/tmp", "/dev/shm")  # noqa: S108 -- the sandbox's own, fresh and bounded


class Box:
    """Runs work in forked children, each with the whole tree of it killed at its end.

    Args:
        limits: `memory_mb` (one process's address space, and all resident memory and written
            files together), `processes`, `disk_mb` (one file), `output_bytes`.
        keep: descriptors that a child may keep beside its output and result.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        self._limits = limits

    def run(self, work: Work, time_ms: int, give: tuple[int, ...] = ()) -> dict[str, Any]:
        """How a child that does `work(result_fd)` ended; `give` is handed over to it.

        Returns:
            `end`: `done` with `frames` (what it wrote on its result descriptor), `time`, `memory`,
            `output` or `died` with `detail`; `code`, its exit code; and `output`, the text it
            printed.
        """
        out_r, out_w = os.pipe()
        res_r, res_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become(work, time_ms, out_w, (res_w, *give))
        for fd in (out_w, res_w, *give):
            os.close(fd)
        watch = _Watch(pid, out_r, res_r, self._limits)
        try:
            return watch.until_end(time_ms)
        finally:
            os.close(out_r)
            os.close(res_r)
            kill_all()

    def _become(self, work: Work, time_ms: int, out: int, keep: tuple[int, ...]) -> None:
        status = 1
        try:
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            _close_all_but({0, 1, 2, *keep})
            os.setsid()
            restrict(self._limits, -(-time_ms // 1000) + 1)
            work(keep[0])
            status = 0
        except BaseException as error:  # noqa: BLE001 -- the child ends here whatever happens; its parent reads why
            with contextlib.suppress(OSError):
                os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)


class _Watch:
    """Reads a child's output and frames until it ends or breaks a limit."""

    def __init__(self, pid: int, out: int, result: int, limits: dict[str, int]) -> None:
        self._pid, self._out, self._result, self._limits = pid, out, result, limits
        self._printed, self._written = bytearray(), bytearray()
        self._open = {out, result}

    def until_end(self, time_ms: int) -> dict[str, Any]:
        """The report of `Box.run`."""
        deadline = time.monotonic() + time_ms / 1000
        poller = select.poll()
        for fd in (self._out, self._result):
            poller.register(fd, select.POLLIN)
            os.set_blocking(fd, False)
        while True:
            # Once both pipes are at their end the child is about to be one to wait for.
            for fd, _ in poller.poll(TICK_MS if self._open else 1):
                if not self._drain(fd):
                    poller.unregister(fd)
                    self._open.discard(fd)
            done, status = os.waitpid(self._pid, os.WNOHANG)
            if done:
                for fd in self._open:
                    self._drain(fd)
            if broken := self._broken():
                return self._end(*broken)
            if done:
                return self._ended(status)
            if time.monotonic() > deadline:
                return self._end("time", f"did not end within {time_ms} ms")

    def _drain(self, fd: int) -> bool:
        """Read what is there; False at the end of it."""
        kept, limit = (
            (self._printed, self._limits["output_bytes"])
            if fd == self._out
            else (self._written, MAX_RESULT)
        )
        while len(kept) <= limit:
            try:
                chunk = os.read(fd, 65536)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            kept += chunk
        return True

    def _broken(self) -> tuple[str, str] | None:
        most = self._limits["output_bytes"]
        if len(self._printed) > most:
            return "output", f"printed more than {most} bytes"
        if len(self._written) > MAX_RESULT:
            return "output", f"returned more than {MAX_RESULT} bytes"
        if tree_bytes() > self._limits["memory_mb"] * MIB:
            return "memory", f"took more than {self._limits['memory_mb']} MB of memory"
        return None

    def _ended(self, status: int) -> dict[str, Any]:
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGXCPU:
            return self._end("time", "used up its processor time")
        if code < 0:
            return self._end("died", f"was ended by signal {signal.Signals(-code).name}", code)
        return self._end("done", "", code)

    def _end(self, end: str, detail: str, code: int = -1) -> dict[str, Any]:
        return {
            "end": end,
            "detail": detail,
            "code": code,
            "frames": list(frames_of(bytes(self._written))),
            "output": self._printed[: self._limits["output_bytes"]].decode("utf-8", "replace"),
        }


def frames_of(written: bytes) -> Iterator[Any]:
    """The whole, readable frames a child wrote; what is broken ends them."""
    at = 0
    while len(written) - at >= wire.HEADER:
        size = int.from_bytes(written[at : at + wire.HEADER], "big")
        body = written[at + wire.HEADER : at + wire.HEADER + size]
        if len(body) < size:
            return
        try:
            yield wire.decode(body)
        except wire.Malformed:
            return
        at += wire.HEADER + size


def restrict(limits: dict[str, int], seconds: int) -> None:
    """Set this process's own limits; they hold for all it starts and cannot be raised again."""
    memory = limits["memory_mb"] * MIB
    # A second between the two: the first one's signal says why the process ended.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, limits["disk_mb"] * MIB),
        # The sandbox's own two processes count among its user's.
        (resource.RLIMIT_NPROC, limits["processes"] + 2),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def tree_bytes() -> int:
    """Memory of all processes in the sandbox but this one, with what was written to its disks."""
    total, page, own = 0, resource.getpagesize(), {"1", str(os.getpid())}
    for name in os.listdir("/proc"):  # noqa: PTH208 -- pathlib would cost start-up time
        if not name.isdigit() or name in own:
            continue
        try:
            with open(f"/proc/{name}/statm", "rb") as file:  # noqa: PTH123 -- pathlib would cost start-up time
                fields = file.read().split()
        except OSError:  # it has just ended
            continue
        if len(fields) > 2:
            total += (int(fields[1]) - int(fields[2])) * page
    for disk in DISKS:
        used = os.statvfs(disk)
        total += (used.f_blocks - used.f_bfree) * used.f_frsize
    return total


def kill_all() -> None:
    """End every process of the sandbox but this one and its init.

    Raises:
        RuntimeError: some do not end; the host then kills the whole sandbox.
    """
    deadline = time.monotonic() + REAP_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.0005)
    raise RuntimeError("processes in the sandbox do not end")


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- as above
        fd = int(name)
        if fd not in kept:
            with contextlib.suppress(OSError):
                os.close(fd)
