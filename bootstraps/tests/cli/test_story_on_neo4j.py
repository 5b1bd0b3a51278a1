"""`fleet story` between the file of an embedded fleet and the Neo4j of the profile `fleet`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from fleet_bootstraps.stack.neo4j import Neo4jServer, neo4j_server
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding, Dissent
from fleet_core.domain.history import DecisionRecord, head, line
from fleet_core.domain.job import Evidence, Standing

pytestmark = pytest.mark.connected
Script = Callable[..., tuple[str, ...]]
Plan = Callable[..., str]
Fleet = Callable[..., Any]
STORY = "s"
SECRET = "GRAPH_PHRASE"
TWO = (
    {"id": "a", "title": "Do a", "role": "DEV"},
    {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
)
HOSTILE = (
    "'}) MATCH (n) DETACH DELETE n //",
    '"; DROP TABLE decisions; --',
    "$story `backticks` {braces} \\u0000 \\",
    "nul \0, bell \a, escape \x1b[2J",
    "a lone \ud800 surrogate, and \udfff\ud83d",
    "a private \ue000 beside it",
    "\u202eright to left, e\u0301 and \U0001f600\r\n\u2028",
    "x" * 40_000,
)


@pytest.fixture
def on_neo4j(
    libraries: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, ...]]:
    """The options of a command on the profile `fleet` whose graph is a Neo4j that runs."""
    with start_blocking_portal() as portal:
        folder = tmp_path / "neo4j"
        serving = portal.call(partial(neo4j_server, folder, libraries, short_lived=True))
        with portal.wrap_async_context_manager(serving) as server:
            running: Neo4jServer = server
            monkeypatch.setenv(SECRET, running.password)
            sets = (f"graph.uri={running.uri}", f"graph.password={SECRET}")
            yield ("--profile", "fleet", *(word for one in sets for word in ("--set", one)))


def hostile_decisions() -> Iterator[Decision]:
    """Of one task each, and of task 0 two more, so that two are superseded."""
    for number, text in enumerate((*HOSTILE, *HOSTILE[:2])):
        task = f"t{number % len(HOSTILE)}"
        plain = Decision(
            decision_id=f"decision {number} {text[:50]}",
            deliberation_id=f"of {number}",
            story=STORY,
            plan_id="a plan that nobody recorded",
            task_id=task,
            role=f"DEV {text[:50]}",
            title=text,
            rationale=text,
            text=text,
            winner=text[:50],
            standing=DecisionStanding.REFUTED,
            rule="ballots",
            decided_ms=number,
        )
        yield replace(
            plain,
            evidence=(Evidence("tests", Standing.FAILED, text, text[:4096]),),
            alternatives=(Alternative((text[:50],), text, text, "hash"),),
            dissent=(Dissent(text[:50], (text,), text),),
            affects=(task, text[:50]),
            incomplete=(text,),
            cited=(f"decision {number} {text[:50]}", text),
        )


def test_a_story_goes_from_a_file_into_a_fleet_on_neo4j_and_back_unchanged(
    fleet: Fleet, plan: Plan, script: Script, tmp_path: Path, on_neo4j: tuple[str, ...]
) -> None:
    assert fleet("run", plan(*TWO), *script(), "--json").code == 0
    assert fleet("run", plan(*TWO), *_anew(script), "--fresh", "--json").code == 0
    hostile = [line(DecisionRecord(one, one.decided_ms)) for one in hostile_decisions()]
    told = tmp_path / "hostile.jsonl"
    told.write_text("\n".join([head(STORY), *hostile, ""]))
    assert fleet("story", "import", str(told), "--json").json["decisions"] == len(hostile)

    files = [tmp_path / f"{name}.jsonl" for name in ("embedded", "fleet", "home")]
    there = ("--home", str(tmp_path / "another home"))
    assert fleet("story", "export", STORY, "--out", str(files[0])).code == 0
    found = fleet("story", "import", str(files[0]), *on_neo4j, "--json").json
    assert (found["plans"], found["decisions"]) == (1, 4 + len(hostile))
    again = fleet("story", "import", str(files[0]), *on_neo4j, "--json").json
    assert again == found, "what is known stays as it is"
    assert fleet("story", "list", *on_neo4j, "--json").json == [STORY]
    assert fleet("story", "export", STORY, "--out", str(files[1]), *on_neo4j).code == 0
    assert fleet(*there, "story", "import", str(files[1]), "--json").json == found
    assert fleet(*there, "story", "export", STORY, "--out", str(files[2])).code == 0

    lines = files[0].read_text("ascii").splitlines()
    assert len(lines) == 1 + 1 + 4 + len(hostile)
    assert set(hostile) <= set(lines)
    assert [file.read_text("ascii").splitlines() == lines for file in files] == [True] * 3

    words = ("prune", STORY, "--before", "2100-01-01", "--json")
    dropped = [fleet("story", *words, *where).json for where in ((), on_neo4j)]
    assert dropped[0] == dropped[1] == {"story": STORY, "dropped": 4, "decisions": 10}
    left = [fleet("story", "export", STORY, *where).out for where in ((), on_neo4j)]
    assert left[0] == left[1]
    assert all(json.loads(one) for one in left[0].splitlines())


def _anew(script: Script) -> tuple[str, ...]:
    """Other answers than those of `script()`, so that other decisions supersede the first."""
    answers = [
        {"step": step, "agent": number, "text": f"{step} {number} anew"}
        for number in (1, 2, 3)
        for step in ("propose", "revise")
    ]
    return script(*answers, *({"step": s, "prefer": ["anew"]} for s in ("critique", "judge")))
