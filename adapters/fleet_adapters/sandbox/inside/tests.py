"""Runs the task's tests against a proposal that lives in another sandbox."""

from __future__ import annotations

import signal
import sys
import types

from fleet_adapters.sandbox.inside import wire
from fleet_adapters.sandbox.inside.remote import Gone, Proxy, Side
from fleet_adapters.sandbox.inside.solution import NAME

TYPE_CHECKING = False  # importing typing would double the start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

FILE = "<tests>"
WHOLE = "the test file"
NOT_PLAIN = 0x20 | 0x80 | 0x200  # generator, coroutine, asynchronous generator


class OutOfTime(BaseException):
    """A test's time is over; not an Exception, so that no test catches it."""


class Raises:
    """`with raises(ValueError): ...`; the exception is at `.value` afterwards."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds
        self.value: BaseException | None = None

    def __enter__(self) -> Raises:  # noqa: PYI034 -- Self would need typing
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        if kind is None:
            raise AssertionError(f"did not raise {self._kinds[0].__name__}")
        self.value = error
        return issubclass(kind, self._kinds)


def run(source: str, fd: int, test_ms: int, send: Callable[[Any], None]) -> None:
    """Run a test file: its functions `test...`, or the file as one test where it has none.

    Sends `{"names": [...]}`, then `{"test": name, "ok": bool, "text": why not}` for each that was
    reached; `{"broken": text}` where the file itself is no Python.
    """
    try:
        code = compile(source, FILE, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        send({"broken": f"{type(error).__name__}: {error}"})
        return
    own = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    tests = [const for const in own if const.co_name.startswith("test")]
    names = [test.co_name for test in tests]
    for test in tests:
        if test.co_argcount or test.co_kwonlyargcount or test.co_flags & NOT_PLAIN:
            send({"broken": f"{test.co_name} should be a plain function without parameters"})
            return
    send({"names": names or [WHOLE]})
    side = Side(fd, open_objects=False)
    signal.signal(signal.SIGALRM, _out_of_time)
    space: dict[str, Any] = {"__name__": "tests", "raises": Raises}

    def top() -> None:
        space.update(_offer(Proxy(side, 0)))
        exec(code, space)  # noqa: S102 -- the task's own tests, in a sandbox of their own

    failure = _failure(top, side, source, test_ms)
    if failure or not names:
        send({"test": WHOLE, "ok": not failure, "text": failure})
        return
    for name in names:
        failure = _failure(lambda name=name: space[name](), side, source, test_ms)  # type: ignore[misc]  # binds the loop's name
        send({"test": name, "ok": not failure, "text": failure})
        if failure.startswith("time:"):  # the proposal still runs: nothing more can be asked of it
            return


def _offer(root: Proxy) -> dict[str, Any]:
    """The proposal's public names, also importable from `solution`."""
    module = types.ModuleType(NAME)
    given = {str(name): getattr(root, str(name)) for name in _names(root)}
    module.__dict__.update(given)
    sys.modules[NAME] = module
    return given


def _names(root: Proxy) -> list[Any]:
    side = object.__getattribute__(root, "_fleet")[0]
    names = side.ask("names", root)
    return names if isinstance(names, list) else []


def _failure(test: Callable[[], object], side: Side, source: str, test_ms: int) -> str:
    side.last_call = ""
    signal.setitimer(signal.ITIMER_REAL, test_ms / 1000)
    try:
        test()
    except OutOfTime:
        return f"time: did not end within {test_ms} ms{_after(side)}"
    except Gone as error:
        return f"time: {error}{_after(side)}"
    except BaseException as error:  # noqa: BLE001 -- a test fails by raising, whatever it raises
        signal.setitimer(signal.ITIMER_REAL, 0)
        return f"{_place(error, source)}{_spoken(error)}{_after(side)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _spoken(error: BaseException) -> str:
    text = wire.shown(error) if not str(error) else str(error)[: wire.SHOWN]
    return type(error).__name__ if text == "AssertionError()" else f"{type(error).__name__}: {text}"


def _after(side: Side) -> str:
    return f" (last call: {side.last_call})" if side.last_call else ""


def _place(error: BaseException, source: str) -> str:
    """The last line of the test file that the failure went through."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = source.splitlines()
    if not 0 < line <= len(lines):
        return ""
    return f"line {line}: {lines[line - 1].strip()[: wire.SHOWN]}: "


def _out_of_time(_number: int, _frame: Any) -> NoReturn:
    raise OutOfTime
