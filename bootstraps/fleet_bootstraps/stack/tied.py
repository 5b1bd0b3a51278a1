"""Ties a program to the process that starts it: it is told to end once that one is gone.

Run as a script it asks the kernel for that and then becomes the program, under its own process id;
so a server that knows nothing of us ends with us also where we are killed. It imports next to
nothing: it stands before every start of a server.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str | Path]) -> list[str]:
    """The command that runs `command` tied to this process, and to the thread that starts it.

    What the program itself starts is not tied. Elsewhere than on Linux it is `command` as it is.
    """
    words = [str(word) for word in command]
    if sys.platform != "linux":
        return words
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *words]


def main(arguments: Sequence[str]) -> None:
    """Become the program; `arguments` are the parent's process id and the command."""
    import ctypes  # noqa: PLC0415 -- of no use to whoever only makes the command

    parent, *command = arguments
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):  # it ended before we had asked
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 -- that is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
