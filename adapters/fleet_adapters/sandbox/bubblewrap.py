"""The sandbox's walls: bubblewrap's arguments. Pure, but for looking at which folders exist."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleet_adapters.sandbox.interpreter import Interpreter

# Programs and libraries only. /etc stays outside but for what finds these.
_SYSTEM = ("/usr",)
_LINKED = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
_ETC = ("/etc/ld.so.cache", "/etc/alternatives")
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 -- the sandbox's own
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the same proposal, the same evidence
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


@dataclass(frozen=True, slots=True)
class Walls:
    """What a sandbox of this host is made of, found out once.

    Attributes:
        bwrap: the program's path.
        options: the options this bubblewrap knows, of those that are used if known.
        namespace: a prepared user namespace's descriptor (see `userns`), or None.
    """

    bwrap: str
    interpreter: Interpreter
    options: frozenset[str]
    namespace: int | None
    disk_mb: int


def environment(walls: Walls) -> dict[str, str]:
    """All of the environment inside; `python3` there is the sandbox's interpreter."""
    folder = Path(walls.interpreter.executable).parent
    return {**_ENVIRONMENT, "PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin"}


OPTIONAL = ("--size", "--disable-userns")


def arguments(walls: Walls) -> list[str]:
    """The command line up to the program that runs inside.

    No network, no /home, next to no /etc, everything read-only but a fresh bounded /tmp and
    /dev/shm; its own process, IPC, host name, cgroup and user namespaces; no capabilities, no
    terminal.
    """
    return [walls.bwrap, *_namespaces(walls), *_writable(walls), *_read_only(walls)]


def _namespaces(walls: Walls) -> list[str]:
    args = ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL"]
    args += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    args += ["--unshare-cgroup-try"]
    if walls.namespace is not None:
        # The first process inside gives these two up together with user 0.
        args += ["--userns", str(walls.namespace)]
        return [*args, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    args += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    return [*args, "--disable-userns"] if "--disable-userns" in walls.options else args


def _writable(walls: Walls) -> list[str]:
    fresh = ["--perms", "1777"]
    if "--size" in walls.options:
        fresh += ["--size", str(walls.disk_mb * 1024 * 1024)]
    args = ["--proc", "/proc", "--dev", "/dev", *fresh, "--tmpfs", "/dev/shm", "--remount-ro"]  # noqa: S108 -- the sandbox's own
    return [*args, "/dev", *fresh, "--tmpfs", "/tmp", "--chdir", "/tmp"]  # noqa: S108 -- as above


def _read_only(walls: Walls) -> list[str]:
    args = []
    for folder in (*_SYSTEM, *walls.interpreter.folders):
        # Made by bubblewrap they would be open to their owner only.
        for parent in reversed(Path(folder).parents[:-1]):
            if str(parent) != "/tmp":  # noqa: S108 -- as above
                args += ["--perms", "0755", "--dir", str(parent)]
        args += ["--ro-bind", folder, folder]
    for path in map(Path, _LINKED):
        if path.is_symlink():
            args += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            args += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        args += ["--ro-bind-try", name, name]
    for name in walls.interpreter.hidden:
        if _visible(name, walls):
            args += ["--tmpfs", name, "--remount-ro", name]
    return [*args, "--remount-ro", "/"]


def _visible(path: str, walls: Walls) -> bool:
    folders = (*_SYSTEM, *walls.interpreter.folders)
    return any(path.startswith(folder + "/") for folder in folders)
