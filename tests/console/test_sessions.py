"""Logging in and out of the console: by an API key, by the link of `serve`, and for how long."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.commands.greeting import greeting
from app.commands.serve import login_token
from app.console.attempts import LOGINS
from app.settings import Settings
from app.tenants.sessions import LINK_LASTS, SESSION_LASTS
from tests.api import Api, running
from tests.console.browser import FORM, Browser, Page, logged_in
from tests.contract.world import second_tenant

LOGIN = "/console/session"
MOMENT = timedelta(seconds=1)


def is_login(page: Page) -> bool:
    return page.status == 401 and any(form.action == LOGIN for form in page.forms)


async def link_of(api: Api) -> str:
    token = await login_token(api.app.state.settings.model_copy(update={"roles": ("api",)}))
    assert token is not None
    return f"{LOGIN}?link={token}"


async def test_nobody_sees_a_page_before_logging_in(api: Api) -> None:
    lead = await api.lead(full_name="Secret")
    for path in ("", "/", "/leads", f"/leads/{lead['id']}", "/sources", "/subscriptions", "/policies", "/nothing"):
        page = await Browser(api).get(f"/console{path}")
        assert is_login(page), path
        assert "Secret" not in page.html


async def test_an_api_key_logs_in_and_the_cookie_can_be_read_by_no_script_and_no_other_site(api: Api) -> None:
    browser = Browser(api)
    browser.client.follow_redirects = False
    page = await browser.get(LOGIN)
    answer = await browser.send(page.form(LOGIN), key=f"  {api.key} ")
    assert (answer.status, answer.headers["location"]) == (303, "/console")
    value, *attributes = answer.headers["set-cookie"].split("; ")
    assert attributes == ["Path=/console", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]
    assert api.key not in value
    assert (await browser.get("/console")).status == 200


@pytest.mark.parametrize(
    ("changed", "base_url", "headers", "is_secure"),
    [
        ({}, "http://baton.example", {}, False),
        ({}, "https://baton.example", {}, True),
        ({}, "http://baton.example", {"X-Forwarded-Proto": "https"}, True),
        ({"public_url": "https://crm.example"}, "http://baton.example", {}, True),
        ({"public_url": "http://crm.example"}, "http://baton.example", {}, False),
    ],
)
async def test_the_cookie_is_secure_behind_tls(
    settings: Settings, changed: dict[str, Any], base_url: str, headers: dict[str, str], is_secure: bool
) -> None:
    async with running(settings.model_copy(update=changed)) as api:
        answer = await Browser(api, base_url).client.get(LOGIN, headers=headers)
        assert answer.headers["set-cookie"].endswith("; Secure") == is_secure


@pytest.mark.parametrize("key", ["", "btn_unknown", "x" * 5_000, "\x00", "ключ", "<script>"])
async def test_a_key_that_is_none_is_refused_and_not_shown(api: Api, key: str) -> None:
    browser = Browser(api)
    page = await browser.log_in(key or " ")
    assert is_login(page)
    assert not key or key not in page.html
    assert is_login(await browser.get("/console"))


async def test_the_session_is_new_at_each_log_in(api: Api) -> None:
    browser = Browser(api)
    seen = set()
    for _ in range(3):
        await browser.log_in()
        seen.add(browser.client.cookies["baton_console"])
    assert len(seen) == 3


async def test_a_session_ends_after_twelve_hours(api: Api) -> None:
    browser = await logged_in(api)
    api.clock.ahead += SESSION_LASTS - timedelta(minutes=1)
    assert (await browser.get("/console")).status == 200
    api.clock.ahead += timedelta(minutes=1, seconds=1)
    assert is_login(await browser.get("/console"))


async def test_a_session_ends_when_its_key_is_revoked_and_others_go_on(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "of one", "scopes": ["leads:read"]})
    one, other = Browser(api), await logged_in(api)
    assert (await one.log_in(made["secret"])).status == 200
    assert (await api.call("DELETE", f"/v1/keys/{made['id']}")).status_code == 200
    assert is_login(await one.get("/console"))
    assert (await other.get("/console")).status == 200


async def test_a_session_ends_when_its_key_expires(api: Api) -> None:
    until = (api.now + timedelta(hours=1)).isoformat()
    made = await api.post("/v1/keys", {"name": "for an hour", "scopes": ["leads:read"], "expires_at": until})
    browser = Browser(api)
    assert (await browser.log_in(made["secret"])).status == 200
    api.clock.ahead += timedelta(hours=1, seconds=1)
    assert is_login(await browser.get("/console"))


async def test_who_logs_out_is_out_also_with_a_kept_cookie(api: Api) -> None:
    browser = await logged_in(api)
    kept = browser.client.cookies["baton_console"]
    page = await browser.get("/console")
    assert (await browser.send(page.form("/session/end"))).status == 200
    thief = Browser(api)
    thief.client.cookies.set("baton_console", kept, path="/console")
    assert is_login(await thief.get("/console"))


@pytest.mark.parametrize("cookie", ["x", "ten_.", "guest.x", "ten_01m8hbe8eke9g950yjfbe3c57j.guess", "%00", "é"])
async def test_any_other_cookie_is_no_session(api: Api, cookie: str) -> None:
    headers = {b"Cookie": f"baton_console={cookie}".encode()}
    assert is_login(Page(await Browser(api).client.get("/console", headers=headers)))


async def test_the_token_of_a_session_is_of_no_use_to_another_tenant(api: Api) -> None:
    browser, rival = await logged_in(api), await second_tenant(api)
    _, secret = browser.client.cookies["baton_console"].split(".")
    other = (await rival.get("/v1/me"))["tenant"]["id"]
    thief = Browser(api)
    thief.client.cookies.set("baton_console", f"{other}.{secret}", path="/console")
    assert is_login(await thief.get("/console"))


async def test_the_link_of_serve_logs_in_once(api: Api) -> None:
    link = await link_of(api)
    browser = Browser(api)
    page = await browser.get(link)
    assert (page.status, "Log out" in page.text) == (200, True)
    again = await Browser(api).get(link)
    assert is_login(again)
    assert "was used before" in again.text
    assert (await browser.get("/console")).status == 200


async def test_of_many_at_the_same_time_a_link_logs_in_one(api: Api) -> None:
    link = await link_of(api)
    opened = await asyncio.gather(*(Browser(api).get(link) for _ in range(8)))
    assert sorted(page.status for page in opened) == [200] + [401] * 7


async def test_a_link_is_of_no_use_after_an_hour_or_when_its_key_is_revoked(api: Api) -> None:
    late, revoked = await link_of(api), await link_of(api)
    me = await api.get("/v1/me")
    assert (await api.call("DELETE", f"/v1/keys/{me['key']['id']}")).status_code == 200
    assert is_login(await Browser(api).get(revoked))
    api.clock.ahead += LINK_LASTS + MOMENT
    assert is_login(await Browser(api).get(late))


async def test_without_an_admin_key_there_is_no_link(api: Api) -> None:
    me = await api.get("/v1/me")
    await api.call("DELETE", f"/v1/keys/{me['key']['id']}")
    assert await login_token(api.app.state.settings.model_copy(update={"roles": ("api",)})) is None


@pytest.mark.parametrize("link", ["", "x", "ten_x.y", "ten_01m8hbe8eke9g950yjfbe3c57j.guess", "\x00", "é" * 500])
async def test_a_link_that_is_none_is_refused(api: Api, link: str) -> None:
    assert is_login(Page(await Browser(api).client.get(LOGIN, params={"link": link})))


async def test_a_head_request_does_not_use_up_a_link(api: Api) -> None:
    link = await link_of(api)
    assert (await api.client.head(link)).status_code == 405
    assert (await Browser(api).get(link)).status == 200


async def test_attempts_to_log_in_are_limited_for_each_address(api: Api) -> None:
    browser = Browser(api)
    page = await browser.get(LOGIN)
    statuses = [(await browser.send(page.form(LOGIN), key="btn_guess")).status for _ in range(LOGINS + 3)]
    assert statuses == [401] * LOGINS + [429] * 3
    refused = await browser.log_in()
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert (await Browser(api).get(f"{LOGIN}?link=guess")).status == 429
    transport = httpx.ASGITransport(api.app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://baton.example") as other:
        assert (await other.get(f"{LOGIN}?link=guess")).status_code == 401
    api.clock.ahead += timedelta(minutes=1)
    assert (await browser.log_in()).status == 200


async def test_logging_in_is_in_the_audit_log(api: Api) -> None:
    await logged_in(api)
    async with api.app.state.engine.connect() as tx:
        rows = await tx.driver.fetch("SELECT subject FROM audit WHERE act = 'console.logged_in'")
    assert [row[0] for row in rows] == [(await api.get("/v1/me"))["key"]["id"]]


async def test_only_hashes_of_tokens_are_stored_and_those_that_expired_are_removed(api: Api) -> None:
    async def stored() -> list[str]:
        async with api.app.state.engine.connect() as tx:
            return [str(row) for row in await tx.driver.fetch("SELECT * FROM console_sessions")]

    browser = await logged_in(api)
    token = browser.client.cookies["baton_console"]
    assert len(await stored()) == 1
    assert token.split(".")[1] not in "".join(await stored())
    api.clock.ahead += SESSION_LASTS + MOMENT
    await logged_in(api)
    assert len(await stored()) == 1


async def test_the_console_can_be_turned_off(settings: Settings) -> None:
    off = settings.model_copy(update={"console": False, "roles": ("api",)})
    async with running(off) as api:
        for path in ("/console", LOGIN, "/console/leads", "/console/static/console.css"):
            assert (await api.client.get(path)).status_code == 404
        assert (await api.client.post(LOGIN, content="key=x", headers=FORM)).status_code == 404
        assert await login_token(off) is None
    assert "/console" not in greeting(off, None, None)


def test_serve_tells_where_the_console_is_and_the_link(settings: Settings) -> None:
    assert f"{settings.address}/console/session?link=ten_x.y\n" in greeting(settings, None, "ten_x.y")
    assert f": {settings.address}/console\n" in greeting(settings, None, None)


async def test_no_header_can_name_the_caller_of_a_request(api: Api) -> None:
    for name in ("baton.caller", "baton-caller"):
        answer = await api.client.get("/v1/me", headers={name: "admin", "Cookie": "baton_console=x"})
        assert answer.status_code == 401
    browser = await logged_in(api)
    browser.client.cookies.set("baton_console", browser.client.cookies["baton_console"], path="/")
    assert (await browser.client.get("/v1/me")).status_code == 401
