from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from fleet_bootstraps.monitor.access import COOKIE, Access

pytestmark = pytest.mark.anyio
Staged = Callable[..., AbstractAsyncContextManager[Any]]
ACT = "/api/admin/deliberations/none/cancel"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_a_token_whoever_is_here_may(staged: Staged) -> None:
    async with staged() as stage:
        told = await stage.get("/api/session")
        assert (told["look"], told["act"], told["asks_for_a_token"]) == (True, True, False)
        await stage.get("/api/plans")
        await stage.post(ACT, status=404)


async def test_the_token_looks_and_the_admin_token_acts(staged: Staged) -> None:
    async with staged(access=Access("look", "act")) as stage:
        await stage.get("/api/plans", status=401)
        await stage.get("/api/plans", status=401, headers=bearer("wrong"))
        await stage.get("/api/plans", status=401, headers={"Authorization": "Basic bG9vaw=="})
        await stage.get("/api/plans", headers=bearer("look"))
        await stage.post(ACT, status=401)
        await stage.post(ACT, status=403, headers=bearer("look"))
        await stage.post(ACT, status=404, headers=bearer("act"))
        await stage.get("/api/openapi.json")
        assert await stage.get("/healthz") == {"alive": True}


async def test_a_token_alone_is_enough_to_act(staged: Staged) -> None:
    async with staged(access=Access("one")) as stage:
        await stage.post(ACT, status=401)
        await stage.post(ACT, status=404, headers=bearer("one"))


async def test_an_admin_token_alone_lets_everybody_look(staged: Staged) -> None:
    async with staged(access=Access("", "act")) as stage:
        await stage.get("/api/plans")
        await stage.post(ACT, status=403)
        await stage.post(ACT, status=404, headers=bearer("act"))


async def test_a_sign_in_is_a_cookie_that_no_script_reads(staged: Staged) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, not a name
    async with (
        staged(access=Access("look", "act")) as stage,
        aiohttp.ClientSession(cookie_jar=jar) as browser,
    ):
        origin = {"Origin": stage.url}
        url = f"{stage.url}/api/session"
        async with browser.post(url, json={"token": "wrong"}, headers=origin) as refused:
            assert refused.status == 401
            assert COOKIE not in refused.cookies
        async with browser.post(url, json={"token": "act"}, headers=origin) as response:
            assert (await response.json())["act"] is True
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert "Path=/" in cookie
        async with browser.get(f"{stage.url}/api/plans") as seen:
            assert seen.status == 200
        act = f"{stage.url}{ACT}"
        async with browser.post(act, json={}) as unsaid:
            assert unsaid.status == 403
        async with browser.post(act, json={}, headers={"Origin": "http://evil.example"}) as foreign:
            assert foreign.status == 403
        async with browser.post(act, json={}, headers=origin) as done:
            assert done.status == 404
        async with browser.delete(url, headers=origin) as gone:
            assert gone.status == 200
        async with browser.get(f"{stage.url}/api/plans") as after:
            assert after.status == 401


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
async def test_other_origins_change_nothing(staged: Staged, origin: str) -> None:
    async with staged() as stage:
        await stage.post(ACT, status=403, headers={"Origin": origin})
        await stage.post("/api/session", {"token": "x"}, 403, headers={"Origin": origin})


async def test_a_proxy_may_speak_tls_before_it(staged: Staged) -> None:
    async with staged(access=Access("t")) as stage:
        headers = {"Host": "fleet.example", **bearer("t")}
        await stage.post(ACT, status=404, headers={**headers, "Origin": "https://fleet.example"})
        await stage.post(ACT, status=403, headers={**headers, "Origin": "https://fleet.example:8"})
        await stage.post(ACT, status=403, headers={**headers, "Origin": "ftp://fleet.example"})


async def test_a_name_that_anybody_can_point_here_is_not_served(staged: Staged) -> None:
    async with staged() as stage:
        await stage.get("/api/plans", status=403, headers={"Host": "evil.example"})
        await stage.get("/api/plans", headers={"Host": "localhost:1"})
    async with staged(access=Access("t")) as stage:
        await stage.get("/api/plans", headers={"Host": "fleet.example", **bearer("t")})


async def test_every_answer_says_what_a_page_may_load(staged: Staged) -> None:
    async with staged() as stage:
        for path in ("/", "/static/main.js", "/api/plans", "/nowhere", "/api/events"):
            async with stage.http.get(f"{stage.url}{path}") as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "script-src 'self'" in policy
                assert "unsafe" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_session_ends_by_itself() -> None:
    now = [0.0]
    access = Access("look", monotonic=lambda: now[0])
    response = aiohttp.web.Response()
    access.signed_in("look", response)

    cookies = {COOKIE: response.cookies[COOKIE].value}
    request: Any = SimpleNamespace(cookies=cookies, headers={})
    assert access.level(request)
    now[0] += 13 * 3600
    assert not access.level(request)
