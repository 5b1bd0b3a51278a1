"""The loop of a sandbox: one request of the host's after another, each in a child of its own."""

from __future__ import annotations

import contextlib
import json
import os
import sys

from fleet_adapters.sandbox.inside import remote, solution, tests, warden, wire

TYPE_CHECKING = False  # importing typing would double the start-up time
if TYPE_CHECKING:
    from typing import Any

WORK = "/tmp/work"  # noqa: S108 -- the sandbox's own, fresh and bounded
MAX_REQUEST = 16 * 1024 * 1024


def main() -> None:
    """Argument 1: `fd` to the host, `peer` (the other sandbox, or -1), `user` and the limits."""
    setup = json.loads(sys.argv[1])
    # The program's own text stands among the arguments; nothing in it is secret.
    if setup["user"]:  # started as root: become a user of whom processes can be counted
        os.setgroups([])
        os.setresgid(setup["user"], setup["user"], setup["user"])
        os.setresuid(setup["user"], setup["user"], setup["user"])
    box, host, peer = warden.Box(setup["limits"]), setup["fd"], setup["peer"]
    wire.write_frame(host, {"ready": True})
    while True:
        try:
            request = wire.read_frame(host, MAX_REQUEST)
        except EOFError:
            return
        wire.write_frame(host, _answer(box, request, peer, setup["limits"]))


def _answer(box: warden.Box, ask: dict[str, Any], peer: int, limits: dict[str, int]) -> Any:
    match ask["op"]:
        case "example":
            return box.run(lambda result: _example(ask, result), ask["time_ms"])
        case "serve":
            return box.run(
                lambda result: _serve(ask["code"], peer, result), ask["time_ms"], (peer,)
            )
        case "tests":
            return box.run(lambda result: _tests(ask, peer, result), ask["time_ms"], (peer,))
        case "command":
            return box.run(lambda result: _command(ask, result), ask["time_ms"])
        case "probe":
            return box.run(lambda result: _probe(limits["processes"], result), ask["time_ms"])
    raise ValueError(ask["op"])


def _example(ask: dict[str, Any], result: int) -> None:
    solution.example(
        ask["code"],
        ask["entry"],
        ask["args"],
        ask["kwargs"],
        lambda data: wire.write_frame(result, data),
    )
    _flush()


def _serve(code: str, peer: int, result: int) -> None:
    try:
        module = solution.load(code)
    except BaseException as error:  # noqa: BLE001 -- a proposal's top level may raise anything
        wire.write_frame(result, {"unusable": solution.raised(error)})
        return
    side = remote.Side(peer, open_objects=True)
    side.pack(module)
    side.serve_forever()
    _flush()


def _tests(ask: dict[str, Any], peer: int, result: int) -> None:
    tests.run(ask["tests"], peer, ask["test_ms"], lambda data: wire.write_frame(result, data))
    _flush()


def _command(ask: dict[str, Any], result: int) -> None:
    try:
        os.makedirs(WORK, exist_ok=True)  # noqa: PTH103 -- pathlib would cost start-up time
        os.chdir(WORK)
        for path, text in ask["files"].items():
            folder = os.path.dirname(path)  # noqa: PTH120 -- as above
            if folder:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103 -- as above
            with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 -- as above
                file.write(text)
        os.execvp(ask["command"][0], ask["command"])  # noqa: S606 -- the task's own, no shell
    except (OSError, UnicodeError) as error:
        wire.write_frame(result, {"broken": f"{type(error).__name__}: {error}"})


def _probe(most: int, result: int) -> None:
    """Start processes until the limit says no; report how many there were."""
    started = 0
    with contextlib.suppress(OSError):
        while started <= most * 2 + 8:
            if os.fork() == 0:
                os._exit(0)  # counts until somebody waits for it, and nobody does
            started += 1
    wire.write_frame(result, {"started": started})


def _flush() -> None:
    """What a proposal printed; it may have closed or replaced its streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


if __name__ == "__main__":
    main()
