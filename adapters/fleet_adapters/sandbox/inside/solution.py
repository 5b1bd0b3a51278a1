"""The proposal's side: load its code, call its function, serve its objects to the task's tests.

Everything here shares a process with code that may do anything. So nothing here is trusted: what
it sends is a value to compare, and sending another value is the same as returning it.
"""

from __future__ import annotations

import sys
import types

from fleet_adapters.sandbox.inside import wire

TYPE_CHECKING = False  # importing typing would double the start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME = "solution"


def load(code: str) -> types.ModuleType:
    """The proposal as the module `solution`; raises what its top level raises."""
    module = types.ModuleType(NAME)
    sys.modules[NAME] = module
    exec(compile(code, "<proposal>", "exec"), module.__dict__)  # noqa: S102 -- this is what the sandbox is for
    return module


def entry_of(module: types.ModuleType, entry: str) -> Callable[..., object]:
    """The named function, or the last public one that the proposal defines.

    Raises:
        NameError: there is none.
    """
    if not entry:
        own = [
            name
            for name, value in vars(module).items()
            if isinstance(value, types.FunctionType)
            and value.__module__ == NAME
            and not name.startswith("_")
        ]
        if not own:
            raise NameError("the proposal defines no function")
        entry = own[-1]
    found = getattr(module, entry, None)
    if not callable(found):
        raise NameError(f"the proposal does not define {entry!r}")  # noqa: TRY004 -- whatever the name holds, the function is missing
    return found  # type: ignore[no-any-return]  # what it returns is for the host to judge


def example(code: str, entry: str, args: Any, kwargs: Any, send: Callable[[Any], None]) -> None:
    """Call the entry once and send how it ended."""
    try:
        function = entry_of(load(code), entry)
    except BaseException as error:  # noqa: BLE001 -- a top level may raise anything, SystemExit too
        send({"unusable": raised(error)})
        return
    try:
        given = wire.unpack(args, no_other), wire.unpack(kwargs, no_other)
        value = function(*given[0], **given[1])
    except BaseException as error:  # noqa: BLE001 -- as above
        send({"raised": raised(error)})
        return
    send({"returned": wire.pack(value, lambda other: {"r": wire.shown(other)})})


def raised(error: BaseException) -> dict[str, Any]:
    """An exception as data: the names of its class and bases, nearest first, and its text."""
    bases = [base.__name__ for base in type(error).__mro__ if base is not object]
    try:
        text = str(error)[: wire.SHOWN * 2]
    except Exception as second:  # noqa: BLE001 -- a proposal's __str__ may raise anything
        text = f"<str raises {type(second).__name__}>"
    return {"class": type(error).__name__, "bases": bases, "text": text}


def no_other(tag: str, _payload: Any) -> Any:
    """Refuse what is not plain data."""
    raise wire.Malformed(f"unexpected {tag!r}")
