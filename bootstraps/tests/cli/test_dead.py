"""`fleet dead`: what is shown, replayed and discarded, on the command line."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fleet = Callable[..., Any]
Plan = Callable[..., str]
Script = Callable[..., tuple[str, ...]]
Process = Callable[..., subprocess.Popen[str]]
OPS = ("--set", "councils.OPS.size=1")


def publish_letter(fleet: Fleet, plan: Plan, script: Script, process: Process) -> tuple[str, ...]:
    """Submit a plan that the running orchestrator refuses."""
    options = script({"text": "an answer"})
    own = plan({"id": "a", "title": "Do a", "role": "OPS"})
    serving = serve(process, *options)
    assert fleet("submit", own, "--profile", "embedded", *options, *OPS).code == 0
    watching = fleet("watch", own, "--profile", "embedded", *options, *OPS)
    assert watching.code == 1
    assert "went to the dead letters" in watching.err
    stop(serving)
    return options


def serve(process: Process, *options: str) -> subprocess.Popen[str]:
    """An orchestrator over files of this host, which executes by itself."""
    anywhere = ("--set", "services.orchestrator.listen=127.0.0.1:0")
    serving = process("serve", "orchestrator", "--profile", "embedded", *anywhere, *options)
    assert serving.stderr is not None
    while "orchestrator serves" not in (said := serving.stderr.readline()):
        assert said, "it ended"
    return serving


def stop(serving: subprocess.Popen[str]) -> None:
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=30)
    assert serving.returncode == 0


def test_a_refused_plan_is_replayed_and_decided_once_its_role_is_known(
    fleet: Fleet, plan: Plan, script: Script, process: Process, home: Path
) -> None:
    options = publish_letter(fleet, plan, script, process)
    (letter,) = fleet("dead", "list", "--json").json
    assert letter["state"] == "open"
    assert "OPS" in letter["reason"]
    shown = fleet("dead", "show", str(letter["position"]), "--json").json
    assert [one["content"]["id"] for one in shown] == [letter["event"]]

    serving = serve(process, *options, *OPS)
    ran = fleet("dead", "replay", letter["event"], "--wait", "0", "--json")
    assert ran.code == 0, ran.err
    (row,) = ran.json
    assert (row["state"], row["replayed_as"]) == ("replayed", f"{letter['event']}~replay:1")
    identity = shown[0]["content"]["data"]["plan_id"]
    watching = fleet("watch", identity, "--profile", "embedded", *options, *OPS, "--json")
    assert watching.code == 0, watching.err
    assert watching.json["outcome"] == "decided"
    stop(serving)

    assert fleet("dead", "list", "--json").json == []
    (letter,) = fleet("dead", "list", "--all", "--json").json
    assert letter["state"] == "replayed"
    again = fleet("dead", "replay", str(letter["position"]))
    assert again.code == 1
    assert "refused, was replayed as" in again.out


def test_a_replay_that_is_refused_again_says_so(
    fleet: Fleet, plan: Plan, script: Script, process: Process, home: Path
) -> None:
    options = publish_letter(fleet, plan, script, process)
    serving = serve(process, *options)  # it does not know the role either
    ran = fleet("dead", "replay", "--all", "--wait", "30")
    assert ran.code == 1
    assert "dead again, as plan:" in ran.out
    assert "OPS" in ran.out
    stop(serving)
    (letter,) = fleet("dead", "list", "--json").json
    assert letter["event"].endswith("~replay:1")

    ran = fleet("dead", "discard", "--all", "--reason", "a typo")
    assert (ran.code, "discarded" in ran.out) == (0, True)
    assert "there are no dead letters" in fleet("dead", "list").out
    assert "there is nothing to replay" in fleet("dead", "replay", "--all").out
    states = [one["state"] for one in fleet("dead", "list", "--all", "--json").json]
    assert states == ["replayed", "discarded"]


def test_what_is_meant_must_be_said_and_must_be_there(
    fleet: Fleet, plan: Plan, script: Script
) -> None:
    assert fleet("run", plan(), *script()).code == 0
    for command in ("replay", "discard"):
        for words in ((), ("1", "--all")):
            ran = fleet("dead", command, *words)
            assert (ran.code, "name letters, or give --all" in ran.err) == (2, True)
    ran = fleet("dead", "show", "17")
    assert (ran.code, "there is no dead letter 17" in ran.err) == (2, True)
    assert json.loads(fleet("dead", "replay", "--all", "--json").out) == []
