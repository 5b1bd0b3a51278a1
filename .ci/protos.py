"""Generates the Python code of the protos; says where it, or a proto itself, is not right.

`write` generates it beside the protos; `check` generates it elsewhere and compares, and lints.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "adapters/fleet_adapters/grpc/proto"
PACKAGE = "fleet_adapters.grpc.proto"
BUF_CONFIG = ROOT / ".ci/buf.yaml"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
# protoc names a module by its proto's path, which begins with the proto package's own name.
_OWN = re.compile(r"^(from|import) fleet\.", re.MULTILINE)
_MODULE = re.compile(r"(?<=\(DESCRIPTOR, ')(?=fleet\.)")


def sources() -> list[str]:
    """The protos, relative to their root, in a stable order."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def generate(into: Path) -> None:
    """Write messages, services and their types, with imports under our own package."""
    tools = Path(sys.executable).parent
    services = [name for name in sources() if "\nservice " in (PROTOS / name).read_text()]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
    command += [f"--plugin=protoc-gen-mypy={tools / 'protoc-gen-mypy'}"]
    command += [f"--plugin=protoc-gen-mypy_grpc={tools / 'protoc-gen-mypy_grpc'}"]
    run([*command, f"--python_out={into}", f"--mypy_out=quiet:{into}", *sources()])
    run([*command, f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}", *services])
    for path in generated(into):
        text = _OWN.sub(rf"\1 {PACKAGE}.fleet.", path.read_text())
        path.write_text(_MODULE.sub(f"{PACKAGE}.", text))


def generated(root: Path) -> list[Path]:
    """The generated files below a folder."""
    return sorted(path for pattern in GENERATED for path in root.rglob(pattern))


def run(command: list[str]) -> None:
    """Run a tool; its complaints are ours."""
    subprocess.run(command, check=True)  # noqa: S603 -- fixed commands


def write() -> None:
    """Replace what is generated."""
    for path in generated(PROTOS):
        path.unlink()
    generate(PROTOS)


def differences() -> list[str]:
    """Files that regenerating would change, add or drop."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        generate(into)
        fresh = {p.relative_to(into): p.read_bytes() for p in generated(into)}
    kept = {p.relative_to(PROTOS): p.read_bytes() for p in generated(PROTOS)}
    names = sorted(n for n in fresh.keys() | kept.keys() if fresh.get(n) != kept.get(n))
    return [f"{name} is not what its proto generates; run: make protos" for name in names]


def lint() -> list[str]:
    """What buf has to say of the protos."""
    buf = str(Path(sys.executable).with_name("buf"))
    found = []
    for command in (["lint"], ["format", "--diff", "--exit-code"]):
        ran = subprocess.run(  # noqa: S603 -- a fixed command
            [buf, *command, "--config", str(BUF_CONFIG)],
            cwd=PROTOS,
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            found.append(ran.stdout + ran.stderr)
    return found


def main() -> int:
    """Run `write` or `check`."""
    if sys.argv[1:] == ["write"]:
        write()
        return 0
    found = [*differences(), *lint()]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)  # noqa: T201 -- a command
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
