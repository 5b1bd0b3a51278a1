"""The task's tests and the proposal in two sandboxes, joined by one pipe each way.

The tests get a module `solution` whose functions and classes are proxies. A call is sent over, and
what comes back is plain data or a proxy for an object of the proposal's. So the proposal can
answer calls, and nothing else: it cannot touch an `assert`, a builtin or a result of the tests'
process. Calls go both ways (a test may pass a callback); while a side waits, it serves.

A proxy equals only what is a proxy for an equal object; never plain data.
"""

from __future__ import annotations

import builtins
import operator

from fleet_adapters.sandbox.inside import wire
from fleet_adapters.sandbox.inside.solution import raised

TYPE_CHECKING = False  # importing typing would double the start-up time
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MAX_FRAME = 4 * 1024 * 1024
MAX_NESTING = 50


class Gone(Exception):
    """The proposal's process has ended, or speaks nonsense."""


class Side:
    """One end of the pipe: objects lent to the other end, and proxies for what it lends.

    Args:
        fd: a connected stream socket.
        open_objects: whether the other end may look into what it was lent (the proposal's end),
            or only call it and step through it (the tests' end).
    """

    def __init__(self, fd: int, *, open_objects: bool) -> None:
        self._fd = fd
        self._open = open_objects
        self._lent: list[object] = []
        self._nesting = 0
        self.last_call = ""

    def ask(self, op: str, *args: object) -> Any:
        """Have the other end do `op`; returns its value or raises its exception."""
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                raise RecursionError("calls between tests and proposal nest too deeply")
            self._send({"op": op, "args": [self.pack(arg) for arg in args]})
            while True:
                frame = self._receive()
                if "op" not in frame:
                    return self._answer(frame, args)
                self._serve(frame)
        finally:
            self._nesting -= 1

    def serve_forever(self) -> None:
        """Serve until the other end hangs up."""
        while True:
            try:
                frame = self._receive()
            except Gone:
                return
            if "op" in frame:
                self._serve(frame)

    def pack(self, value: object) -> Any:
        """Plain data as they are; anything else is lent."""
        return wire.pack(value, self._lend)

    def _lend(self, value: object) -> Any:
        if isinstance(value, Proxy):
            side, number, _ = object.__getattribute__(value, "_fleet")
            if side is self:
                return {"back": number}
        self._lent.append(value)
        if isinstance(value, type) and issubclass(value, BaseException):
            bases = [base.__name__ for base in value.__mro__ if base is not object]
            return {"error": [len(self._lent) - 1, bases]}
        name = getattr(value, "__name__", "")
        return {"lent": [len(self._lent) - 1, name if type(name) is str else ""]}

    def _borrow(self, tag: str, payload: Any) -> Any:
        match tag:
            case "back":
                return self._lent[payload]
            case "lent":
                return Proxy(self, int(payload[0]), str(payload[1])[:80])
            case "error":
                return error_class(payload[1])
        raise wire.Malformed(f"unexpected {tag!r}")

    def _send(self, data: Any) -> None:
        try:
            wire.write_frame(self._fd, data)
        except OSError:
            raise Gone("the proposal's process has ended") from None

    def _receive(self) -> dict[str, Any]:
        try:
            frame = wire.read_frame(self._fd, MAX_FRAME)
        except (EOFError, OSError):
            raise Gone("the proposal's process has ended") from None
        except wire.Malformed as error:
            raise Gone(f"the proposal's process sent {error}") from None
        if not isinstance(frame, dict):
            raise Gone("the proposal's process sent nonsense")
        return frame

    def _take_back(self, given: tuple[object, ...], changed: list[Any]) -> None:
        """Carry over what a call changed in the lists, dicts and sets it was given."""
        for mine, theirs in zip(_mutable(given), changed, strict=True):
            new = wire.unpack(theirs, self._borrow)
            if type(new) is not type(mine):
                raise wire.Malformed("an argument came back as something else")
            if new != mine:
                mine.clear()
                (mine.extend if isinstance(mine, list) else mine.update)(new)

    def _answer(self, frame: dict[str, Any], given: tuple[object, ...]) -> Any:
        try:
            if "value" in frame:
                self._take_back(given, frame.get("changed", []))
                return wire.unpack(frame["value"], self._borrow)
            made = error_of(frame["raised"])
        except (KeyError, TypeError, ValueError, IndexError, wire.Malformed) as broken:
            raise Gone(f"the proposal's process sent nonsense: {broken}") from None
        raise made

    def _serve(self, frame: dict[str, Any]) -> None:
        try:
            args = [wire.unpack(arg, self._borrow) for arg in frame["args"]]
            op = str(frame["op"])
            allowed = OPERATIONS if self._open else ON_TESTS
            value = self.pack(allowed[op](*args))
            changed = [self.pack(arg) for arg in _mutable(args)]
        except BaseException as error:  # goes back to whoever called, as it would in one process
            if isinstance(error, Gone):
                raise
            self._send({"raised": raised(error)})
            return
        self._send({"value": value, "changed": changed})


class Proxy:
    """An object that lives at the other end."""

    __slots__ = ("_fleet",)
    __hash__ = None  # type: ignore[assignment]  # its equality is the other end's to say

    def __init__(self, side: Side, number: int, name: str = "") -> None:
        object.__setattr__(self, "_fleet", (side, number, name))

    def __getattr__(self, name: str) -> Any:
        return _ask(self, "getattr", name)

    def __setattr__(self, name: str, value: object) -> None:
        _ask(self, "setattr", name, value)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call it at the other end, and note the call for whoever reports a failure."""
        side, _, name = object.__getattribute__(self, "_fleet")
        spoken = [wire.shown(arg, 60) for arg in args]
        spoken += [f"{key}={wire.shown(arg, 60)}" for key, arg in kwargs.items()]
        side.last_call = f"{name}({', '.join(spoken)})"
        value = side.ask("call", self, list(args), kwargs)
        if not isinstance(value, Proxy):
            side.last_call += f" -> {wire.shown(value, 80)}"
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and _ask(self, "eq", other) is True

    def __repr__(self) -> str:
        return str(_ask(self, "repr"))

    def __str__(self) -> str:
        return str(_ask(self, "str"))

    def __len__(self) -> int:
        return int(_ask(self, "len"))

    def __bool__(self) -> bool:
        return _ask(self, "bool") is True

    def __iter__(self) -> Iterator[Any]:
        return _ask(self, "iter")  # type: ignore[no-any-return]  # a proxy, or an iterator lent back

    def __next__(self) -> Any:
        return _ask(self, "next")

    def __getitem__(self, key: object) -> Any:
        return _ask(self, "getitem", key)

    def __setitem__(self, key: object, value: object) -> None:
        _ask(self, "setitem", key, value)

    def __delitem__(self, key: object) -> None:
        _ask(self, "delitem", key)

    def __contains__(self, item: object) -> bool:
        return _ask(self, "contains", item) is True

    def __enter__(self) -> Any:
        return _ask(self, "enter")

    def __exit__(self, *error: object) -> bool:
        return _ask(self, "exit") is True

    def __instancecheck__(self, value: object) -> bool:
        return _ask(self, "isinstance", value) is True

    def __lt__(self, other: object) -> bool:
        return _ask(self, "lt", other) is True

    def __add__(self, other: object) -> Any:
        return _ask(self, "add", other)

    def __sub__(self, other: object) -> Any:
        return _ask(self, "sub", other)

    def __mul__(self, other: object) -> Any:
        return _ask(self, "mul", other)


def _ask(proxy: Proxy, op: str, *args: object) -> Any:
    side = object.__getattribute__(proxy, "_fleet")[0]
    return side.ask(op, proxy, *args)


def _mutable(values: Any) -> list[Any]:
    """The lists, dicts and sets among a call's arguments, one level down, in order."""
    found = []
    for value in values:
        if isinstance(value, list | dict | set):
            found.append(value)
            inner = value.values() if isinstance(value, dict) else value
            found.extend(item for item in inner if isinstance(item, list | dict | set))
    return found


def _call(function: Callable[..., object], args: list[Any], kwargs: dict[str, Any]) -> object:
    return function(*args, **kwargs)


OPERATIONS: dict[str, Callable[..., object]] = {
    "call": _call,
    "getattr": getattr,
    "setattr": setattr,
    "eq": operator.eq,
    "repr": repr,
    "str": str,
    "len": len,
    "bool": bool,
    "iter": iter,
    "next": next,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "contains": operator.contains,
    "enter": lambda value: value.__enter__(),
    "exit": lambda value: value.__exit__(None, None, None),
    "lt": operator.lt,
    "isinstance": lambda cls, value: isinstance(value, cls),
    "names": lambda module: [name for name in vars(module) if not name.startswith("_")],
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
}

# What a proposal may do with a callback or an iterator that a test lent it: not look into it.
ON_TESTS: dict[str, Callable[..., object]] = {"call": _call, "next": next, "iter": iter}

_ERRORS: dict[tuple[str, ...], type[Exception]] = {}


def error_class(bases: list[str]) -> type[Exception]:
    """The builtin of the first name, or a class of that name under the class of the others.

    What is no `Exception` (SystemExit, say) becomes a RuntimeError: it must not end the tests.
    """
    key = tuple(bases)
    if not key:
        return RuntimeError
    if key not in _ERRORS:
        found = getattr(builtins, key[0], None)
        if isinstance(found, type) and issubclass(found, Exception):
            _ERRORS[key] = found
        else:
            _ERRORS[key] = type(key[0], (error_class(bases[1:]),), {})
    return _ERRORS[key]


def error_of(data: Any) -> Exception:
    """The exception that the other end raised."""
    kind, text = error_class([str(base) for base in data["bases"]]), str(data["text"])
    try:
        return kind(text)
    except TypeError:  # a few builtins want more than a text
        return RuntimeError(f"{kind.__name__}: {text}")
