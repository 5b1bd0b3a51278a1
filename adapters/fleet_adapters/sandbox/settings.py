"""Settings of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How strictly, and with what, checks are run.

    Attributes:
        bwrap: the bubblewrap program, by name or path.
        python: the interpreter inside, Python 3.11 or newer; empty for the one this runs on. Of
            its packages only the standard library is seen.
        timeout_ms: the longest a whole check may take, whatever the caller allows.
        memory_mb: MiB of address space of each process, and of resident memory and written files
            of all processes of a check together.
        processes: how many processes and threads the proposal may have at once.
        output_bytes: what it may print before it is ended; evidence keeps 4 KiB of it.
        disk_mb: MiB that may be written to each of `/tmp` and `/dev/shm`.
        parallel: checks run at once; 0 for one a processor. Others wait; waiting is not counted.
    """

    bwrap: str = "bwrap"
    python: str = ""
    timeout_ms: int = 30_000
    memory_mb: int = 512
    processes: int = 32
    output_bytes: int = 65_536
    disk_mb: int = 32
    parallel: int = 0
