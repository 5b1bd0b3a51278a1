"""The inside's modules as one text for `python -c`.

Handed over as text, the sandbox needs no view of where this package is installed, and a source
tree that only its owner may read is no obstacle.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

PACKAGE = "fleet_adapters.sandbox.inside"
MODULES = ("wire", "warden", "solution", "remote", "tests", "main")

_BOOT = """
import sys, types
def _give(name, text):
    module = types.ModuleType(name)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    exec(compile(text, "<fleet:" + last + ">", "exec"), module.__dict__)
for _name, _text in {texts!r}:
    _give(_name, _text)
sys.modules[{package!r} + ".main"].main()
"""


@cache
def program() -> str:
    """The whole program; its only argument is described at `inside.main.main`."""
    parents = [".".join(PACKAGE.split(".")[:n]) for n in range(1, PACKAGE.count(".") + 2)]
    texts = [(name, "") for name in parents]
    folder = files(PACKAGE)
    for module in MODULES:
        text = folder.joinpath(f"{module}.py").read_text(encoding="utf-8")
        texts.append((f"{PACKAGE}.{module}", text))
    return _BOOT.format(texts=texts, package=PACKAGE)
