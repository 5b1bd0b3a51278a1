from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from fleet_bootstraps.fleet import system_clock
from fleet_bootstraps.monitor.access import Access
from fleet_bootstraps.monitor.log import BusLog, exported, read_log
from fleet_bootstraps.monitor.opening import file_site
from fleet_bootstraps.monitor.picture import SUBJECTS
from fleet_bootstraps.monitor.serving import served_monitor
from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.telemetry.readiness import Readiness
from fleet_core.domain.job import ModelCall, job_id
from fleet_core.errors import DecodeError, InputError
from fleet_core.usecases import keys
from fleet_plugins.api import PortName

pytestmark = pytest.mark.anyio
Staged = Callable[..., AbstractAsyncContextManager[Any]]


async def test_a_plan_and_its_tasks(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run(
            {"id": "a", "title": "Do a", "role": "DEV", "acceptance": ["it works"]}
        )

        found = await stage.get("/api/plans")
        one = await stage.get(f"/api/plans/{run.plan_id}")

        assert found["total"] == 1
        assert found["plans"][0]["state"] == "decided"
        (task,) = found["plans"][0]["tasks"]
        assert (task["task"], task["state"], task["winner"]) == ("a", "decided", "dev-2")
        assert one["plan"]["tasks"][0]["acceptance"] == ["it works"]
        assert (await stage.get("/api/plans?failed=true"))["plans"] == []
        await stage.get("/api/plans/nothing", status=404)


async def test_a_deliberation_whole_and_at_every_version(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run()
        identity = run.tasks[0].deliberation_id
        path = f"/api/deliberations/{identity}"
        saved = await stage.fleet.deliberate.get(identity)

        now = await stage.get(path)
        log = await stage.get(f"{path}/log")
        moments = log["moments"]
        states = [await stage.get(f"{path}?at={m['version']}") for m in moments]

        assert now["at"] == now["newest"] == saved.version == moments[-1]["version"]
        assert now["deliberation"] == states[-1]["deliberation"]
        assert log["trouble"] == ""
        assert [s["deliberation"]["state"] for s in states] == [m["state"] for m in moments]
        assert [m["input"] for m in moments][:2] == ["start", "pack"]
        assert states[0]["deliberation"]["pack"] is None
        assert states[1]["deliberation"]["pack"]["text"] == saved.pack.text
        assert states[1]["deliberation"]["pack"]["ledger"]
        spent = [s["deliberation"]["figures"]["spent_tokens"] for s in states]
        assert spent == sorted(spent)
        assert spent[-1] == saved.lease.spent_tokens
        assert now["deliberation"]["ranking"]["order"][0]["agents"] == ["dev-2"]
        assert (await stage.get(f"/api/deliberations/{identity[:8]}"))["at"] == saved.version
        await stage.get(f"{path}?at=999", status=404)
        await stage.get("/api/deliberations/nothing", status=404)


async def test_the_prompt_of_every_job_is_exactly_what_was_asked(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run()
        identity = run.tasks[0].deliberation_id
        state = await stage.fleet.deliberate.get(identity)
        kept: dict[str, Any] = {}
        for document in await stage.fleet.state.scan(keys.jobs_prefix(identity)):
            kept |= {job["job_id"]: job for job in json.loads(document.value)}

        for record in state.jobs():
            job = await stage.get(f"/api/deliberations/{identity}/jobs/{record.job_id}")
            asked = kept[record.job_id]["work"]["request"]
            assert job["asked"]["messages"] == asked["messages"]
            assert job["answer"] == record.ended.text
        assert len(kept) == len(list(state.jobs()))

        history = await stage.site.history(stage.site.tracked(identity))
        for issued in history.issued.values():
            assert isinstance(issued.work, ModelCall)
            assert job_id(identity, issued.key, issued.work) == issued.job_id
        await stage.get(f"/api/deliberations/{identity}/jobs/nothing", status=404)


async def test_what_was_let_go_of_is_read_again(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run()
        tracked = stage.site.tracked(run.tasks[0].deliberation_id)
        before = await stage.get(f"/api/deliberations/{tracked.deliberation_id}")
        tracked.release()

        after = await stage.get(f"/api/deliberations/{tracked.deliberation_id}")

        assert after["deliberation"] == before["deliberation"]
        assert after["row"] == before["row"]


async def test_a_history_is_read_on_while_the_deliberation_goes_on(staged: Staged) -> None:
    async with staged({"text": "slow", "delay_ms": 60_000}) as stage:
        await stage.approve()
        deliberations = stage.site.picture.deliberations
        await stage.until(
            lambda: any(d.state and d.state.outstanding for d in deliberations.values())
        )
        (identity,) = deliberations
        first = await stage.get(f"/api/deliberations/{identity}/log")
        await stage.fleet.deliberate.extend(identity, tokens=5)
        await stage.until(lambda: deliberations[identity].sequence == 3)
        second = await stage.get(f"/api/deliberations/{identity}/log")
        states = [await stage.get(f"/api/deliberations/{identity}?at={at}") for at in (2, 3)]

        assert [m["input"] for m in first["moments"]] == ["start", "pack"]
        assert second["moments"][:2] == first["moments"]
        assert second["moments"][2]["about"] == "its lease was raised"
        before, after = (s["deliberation"]["figures"]["tokens"] for s in states)
        assert after == before + 5


async def test_what_the_log_does_not_tell_any_more_is_shown_as_it_was_saved(
    staged: Staged,
) -> None:
    async with staged() as stage:
        run = await stage.run()
        identity = run.tasks[0].deliberation_id
        before = await stage.get(f"/api/deliberations/{identity}")
        tracked = stage.site.tracked(identity)
        tracked.state = None
        tracked.fail("version 1 is not in what is kept of the log")
        (await stage.site.history(tracked)).moments.clear()
        (await stage.site.history(tracked)).trouble = tracked.trouble

        after = await stage.get(f"/api/deliberations/{identity}")

        assert after["deliberation"] == before["deliberation"]
        assert after["row"]["trouble"] == tracked.trouble
        await stage.get(f"/api/deliberations/{identity}?at=2", status=404)


async def test_councils_are_the_real_ones(staged: Staged) -> None:
    async with staged(sets=['councils.DEV.agents=[{"id":"ada"},{"id":"bob"}]']) as stage:
        found = await stage.get("/api/councils")
        dev = next(c for c in found["councils"] if c["role"] == "DEV")

        assert found["from"] == "fleet"
        assert [agent["agent"] for agent in dev["agents"]] == ["ada", "bob"]


async def test_decisions_and_what_they_rest_on(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run(
            {"id": "a", "title": "Do a", "role": "DEV"},
            {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
        )
        await stage.run({"id": "x", "title": "Do x", "role": "DEV"}, story="other")

        found = await stage.get("/api/decisions?story=s")

        assert found["stories"] == ["s", "other"]
        assert [node["task"] for node in found["nodes"]] == ["a", "b"]
        assert all(node["decision_id"] for node in found["nodes"])
        a, b = (f"{run.plan_id}/{task}" for task in ("a", "b"))
        assert {"from": a, "to": b, "kind": "depends_on"} in found["edges"]


async def test_the_context_graph_is_asked_for_a_story(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run()
        found = await stage.get("/api/graph?story=s")
        decision = (await stage.fleet.deliberate.get(run.tasks[0].deliberation_id)).decision
        kinds = {node["id"]: node["kind"] for node in found["nodes"]}

        assert found["whole"] is True
        assert kinds[f"decision:{decision.decision_id}"] == "Decision"
        assert {
            "kind": "DECIDED_BY",
            "source": f"task:a:{run.plan_id}",
            "target": f"decision:{decision.decision_id}",
        } in found["relations"]
        await stage.get("/api/graph?story=nothing", status=404)
        await stage.get("/api/graph", status=400)


async def test_search_looks_into_what_was_written(staged: Staged) -> None:
    async with staged() as stage:
        run = await stage.run()

        found = (await stage.get("/api/search?q=mark+SECOND"))["found"]

        assert [f["id"] for f in found] == [run.tasks[0].deliberation_id]
        assert "MARK" in found[0]["text"]
        assert (await stage.get("/api/search?q=nowhere-to-be-found"))["found"] == []


async def test_jobs_are_those_that_the_executor_has(staged: Staged) -> None:
    async with staged({"text": "slow", "delay_ms": 60_000}) as stage:
        await stage.approve()
        await stage.until(
            lambda: any(
                d.state and d.state.outstanding for d in stage.site.picture.deliberations.values()
            )
        )
        found = await stage.get("/api/jobs")
        active = {status.job_id for status in await stage.fleet.executor.active()}

        assert found["asked"] is True
        assert {job["job_id"] for job in found["jobs"]} == active
        assert {job["agent"] for job in found["jobs"]} == {"dev-1", "dev-2", "dev-3"}


async def test_the_overview_tells_the_runners_own_figures(staged: Staged) -> None:
    async with staged(sets=["runner.slots=5"]) as stage:
        await stage.run()
        found = await stage.get("/api/overview")
        stats = await stage.fleet.executor.stats()
        parts = {(part["kind"], part["name"]): part for part in found["parts"]}

        told = parts["runner", "runner"]["figures"]
        assert told["slots"] == stats.slots == 7
        assert told["runner"] == stats.runner == "local"
        assert parts["store", "bus"]["state"] == "ready"
        assert parts["log", "log"]["figures"]["events"] == stage.site.picture.events
        assert found["deliberations"] == {"decided": 1}


async def test_an_exported_log_shows_the_same_without_the_fleet(
    staged: Staged, tmp_path: Path
) -> None:
    import aiohttp  # noqa: PLC0415 -- beside the stage's

    async with staged() as stage:
        run = await stage.run()
        paths = [
            f"/api/deliberations/{run.tasks[0].deliberation_id}",
            f"/api/deliberations/{run.tasks[0].deliberation_id}/log",
            "/api/plans",
            "/api/decisions",
        ]
        live = [await stage.get(path) for path in paths]
        log = BusLog(stage.fleet.bus, stage.ports[PortName.BLOBS])
        file = tmp_path / "run.jsonl"
        file.write_text("\n".join([line async for line in exported(log, SUBJECTS)]))
        other = [line async for line in exported(log, SUBJECTS, "0" * 32)]
        mine = [line async for line in exported(log, SUBJECTS, run.plan_id)]

    assert len(other) == 1
    assert len(mine) == len(file.read_text().splitlines())
    async with (
        file_site(file, read_log(file), Access(), system_clock) as site,
        served_monitor(site, ServiceSettings(), Readiness(), listen="127.0.0.1:0") as address,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        await site.feed.caught_up.wait()
        replayed = [await (await http.get(path)).json() for path in paths]
        async with http.post("/api/admin/test-cases/execute?test_case=basic") as response:
            refused = await response.json()
            assert response.status == 409

    for one in (live[0], replayed[0]):
        del one["now_ms"]
    assert replayed == live
    assert refused["carried_out"] is False
    assert "replay of a file" in refused["said"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("{}", "is no log of format 1"),
        ('{"fleet_log": 1}\n{"id": 1}', ":2: specversion: should be text"),
        ('{"fleet_log": 1}\n[', ":2: is not JSON"),
    ],
)
async def test_a_file_that_is_no_log_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(DecodeError, match=said):
        read_log(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_log(tmp_path / "nothing")


@pytest.mark.parametrize(
    "path",
    [
        "/api/plans?limit=0",
        "/api/plans?limit=x",
        "/api/plans?limit=1&limit=2",
        "/api/plans?offset=-1",
        "/api/plans?unknown=1",
        "/api/plans?failed=yes",
        "/api/search",
        "/api/search?q=",
        f"/api/search?q={'x' * 201}",
        "/api/deliberations/x?at=99999999999999999999999",
        "/api/overview?x=1",
    ],
)
async def test_malformed_queries_are_refused_by_name(staged: Staged, path: str) -> None:
    async with staged() as stage:
        told = await stage.get(path, status=400)
        assert told["error"]["message"]
