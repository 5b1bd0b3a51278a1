"""Steps: the command `fleet`, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pytest_bdd import parsers, then, when

from fleet_features.deploying.process import RUN
from fleet_features.world import World

_END_S = 60.0
_FIRST_STEP = 3  # calls of the only step that is under way


@when("the command runs the plan")
def run_command(world: World) -> None:
    """`fleet run PLAN` over the scenario's FLEET_HOME, until it ends."""
    process = _start(world)
    said, complained = process.communicate(timeout=_END_S)
    _note(world, process.returncode, said, complained)


@when("the command runs the plan again")
def run_command_again(world: World) -> None:
    """The same, noting what was asked before."""
    world.notes["calls before"] = world.calls_if_seen()
    run_command(world)


@when("the command submits the plan")
def submit(world: World) -> None:
    """`fleet submit PLAN`, for whoever consumes it."""
    process = _start(world, "submit")
    said, complained = process.communicate(timeout=_END_S)
    _note(world, process.returncode, said, complained)


@when("the command is interrupted as 1 call is left in flight")
def interrupt(world: World) -> None:
    """Ctrl-C, once all but the slow one have been answered; only jobs of its own break off."""
    world.notes["breaks off"] = not world.place.executes_elsewhere
    process = _start(world)
    world.keep(_Ending(process))
    world.call(
        world.server.until,
        lambda server: server.total == _FIRST_STEP and server.in_flight == 1,
        timeout_s=world.within_s,
    )
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=_END_S)
    _note(world, process.returncode, said, complained)


@then(parsers.parse("it exits with {code:d}"))
def exits_with(world: World, code: int) -> None:
    """Hold it to its exit code; whatever went wrong, a person is not shown a traceback."""
    assert world.notes["exit"] == code, world.notes["said"]
    assert "Traceback" not in world.notes["said"]


@then(parsers.parse('it said "{text}"'))
def said(world: World, text: str) -> None:
    """Look into all that it printed."""
    assert text in world.notes["said"]


@then(parsers.parse('it said in one line "{text}"'))
def said_in_one_line(world: World, text: str) -> None:
    """The message is all that it printed."""
    lines = world.notes["said"].strip().splitlines()
    assert len(lines) == 1, lines
    assert text in lines[0]


@then(
    parsers.parse(
        "the report says of task {task_id}: {state}, {winner}, {standing}, {calls:d} calls"
    )
)
def report_says(  # noqa: PLR0917 -- pytest-bdd passes a step's values by name
    world: World, task_id: str, state: str, winner: str, standing: str, calls: int
) -> None:
    """Look into report.json, for programs."""
    report = json.loads(_report(world, "report.json").read_text(encoding="utf-8"))
    (task,) = [t for t in report["tasks"] if t["task"] == task_id]
    expected: dict[str, Any] = {
        "state": state,
        "winner": None if winner == "nobody" else winner,
        "standing": None if standing == "-" else standing,
        "calls": calls,
    }
    assert {key: task[key] for key in expected} == expected
    assert task["seconds"] >= 0


@then(parsers.parse('the report for people holds "{text}"'))
def report_holds(world: World, text: str) -> None:
    """Look into report.md."""
    assert text in _report(world, "report.md").read_text(encoding="utf-8")


@then("there is no report")
def no_report(world: World) -> None:
    """Nothing was begun."""
    assert not list(world.home.glob("runs/*"))


@then("the second command made no call")
def no_second_call(world: World) -> None:
    """Everything was asked by the first."""
    assert world.notes["calls before"]
    assert world.calls_if_seen() == world.notes["calls before"]


class _Ending:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(_END_S)


def _start(world: World, command: str = "run") -> subprocess.Popen[str]:
    plan = world.folder / "plan.yaml"
    plan.write_text(world.plan_text, encoding="utf-8")
    given = world.commanded()
    called = [sys.executable, "-c", RUN, command, str(plan), "--profile", str(given.profile)]
    return subprocess.Popen(
        called,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=given.environ,
    )


def _note(world: World, code: int, said: str, complained: str) -> None:
    world.notes |= {"exit": code, "said": complained + said}


def _report(world: World, name: str) -> Path:
    (path,) = world.home.glob(f"runs/*/{name}")
    return path
