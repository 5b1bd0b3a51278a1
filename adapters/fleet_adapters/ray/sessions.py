"""The processes of a session: what a process that began one has left behind is found by it.

Ray does not end all that it starts when it is killed. A session's number is the process id of who
began it, and it is inherited; so nobody else's processes are ever among them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path


def session_of(pid: int) -> list[tuple[int, str]]:
    """The living processes of the session that a process began, each with its command line.

    None where there is no /proc: there Ray's own reaper is all there is.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # After the name in parentheses: state, parent, group, session.
            state, _parent, _group, session = (
                (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            )
            if int(session) == pid and state != "Z":
                said = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(entry.name), said.decode("utf-8", "replace")))
    return found


_ENDED_S = 5.0


async def ended_session(pid: int) -> None:
    """Kill what is left of a session, and wait until it is gone: it may write until then."""
    end_session(pid)
    with suppress(TimeoutError):
        async with asyncio.timeout(_ENDED_S):
            while session_of(pid):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)


def end_session(pid: int) -> None:
    """Kill what is left of a session, but not the caller."""
    for left, _ in session_of(pid):
        if left != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
