"""The forms of the console: what they do, and that only a page of the same session can send them."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from app.submissions.process import process_batch
from tests.api import Api
from tests.console.browser import FORM, Form, logged_in
from tests.console.test_pages import check_page
from tests.console.world import fill, pages
from tests.webhooks.conftest import World, inbox


async def test_no_form_is_taken_without_the_token_of_its_session(api: Api) -> None:
    made = await fill(api)
    browser, other = await logged_in(api), await logged_in(api)
    theirs = (await other.get("/console")).form("/session/end").fields["form_token"]
    forms = {form.action: form for path in pages(made) for form in (await browser.get(path)).forms}
    posted = [form for form in forms.values() if form.method == "post"]
    assert {form.action.rpartition("/")[2] for form in posted} >= {"end", "pause", "replay", "dry-run"}
    for form in posted:
        for token in ("", "wrong", theirs, form.fields["form_token"][:-1]):
            refused = await browser.send(form, form_token=token)
            check_page(refused, 403)
            assert "open the page again" in refused.text
        without = {name: value for name, value in form.fields.items() if name != "form_token"}
        assert (await browser.send(Form(form.method, form.action, without))).status == 403
    assert (await browser.get("/console")).status == 200
    assert (await api.get(f"/v1/subscriptions/{made['subscription_id']}"))["state"] == "active"


async def test_the_form_that_logs_in_is_bound_to_its_browser_too(api: Api) -> None:
    first, second = await logged_in(api), await logged_in(api)
    page = await first.get("/console/session")
    assert (await second.send(page.form("/console/session"), key=api.key)).status == 403


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("", b"key=x", 415),
        (FORM["Content-Type"], b"\xff\xfe", 400),
        (FORM["Content-Type"], b"&".join(b"a=1" for _ in range(1_000)), 400),
        (FORM["Content-Type"], b"", 403),
        (FORM["Content-Type"], b"form_token=%00&key=%ff", 403),
        (FORM["Content-Type"], "form_token=é".encode(), 403),
    ],
)
async def test_a_body_that_is_no_form_of_ours_is_refused_with_a_page(
    api: Api, content_type: str, content: bytes, status: int
) -> None:
    browser = await logged_in(api)
    for path in ("/console/session", "/console/session/end"):
        answer = await browser.client.post(path, content=content, headers={"Content-Type": content_type})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


async def test_quarantined_submissions_are_replayed_one_by_one_or_all_at_once(api: Api) -> None:
    made = await fill(api)
    browser = await logged_in(api)
    path = f"/console/sources/{made['source_id']}"
    for action in ("/replay", f"{made['quarantined_id']}/replay"):
        page = await browser.get(path)
        [form] = [one for one in page.forms if one.action in (path + action, f"{path}/submissions/{action}")]
        check_page(await browser.send(form))
        submission = await api.get(f"/v1/submissions/{made['quarantined_id']}")
        assert submission["state"] == "received"
        assert await process_batch(api.app.state.engine, api.clock.now) >= 1


async def test_a_dry_run_shows_what_a_request_would_become_and_stores_nothing(api: Api) -> None:
    made = await fill(api)
    browser = await logged_in(api)
    path = f"/console/sources/{made['source_id']}"
    before = len((await api.get("/v1/submissions"))["data"])
    form = (await browser.get(f"{path}?submission={made['quarantined_id']}")).form("/dry-run")
    assert form.fields["content_type"] == "application/json"
    filled = await browser.send(form, body='{"email": "dry@run.example", "name": "<b>Dry</b> Run"}')
    check_page(filled)
    assert "dry@run.example" in filled.text
    encoded = urlencode({"email": "typed@run.example"})
    as_form = await browser.send(form, body=encoded, content_type="application/x-www-form-urlencoded")
    assert "typed@run.example" in as_form.text
    for body in ("", "{", "\x00", "[]", "x" * 60_000):
        tried = await browser.send(form, body=body)
        check_page(tried, tried.status)
        assert tried.status in (200, 422), tried.text
    assert len((await api.get("/v1/submissions"))["data"]) == before


async def test_a_subscription_is_paused_and_resumed(api: Api) -> None:
    made = await fill(api)
    browser = await logged_in(api)
    path = f"/console/subscriptions/{made['subscription_id']}"
    pause = (await browser.get(path)).form("/pause")
    paused = await browser.send(pause)
    check_page(paused)
    assert (await api.get(f"/v1/subscriptions/{made['subscription_id']}"))["state"] == "paused"
    again = await browser.send(pause)
    check_page(again, 200 if again.status == 200 else 409)
    assert "paused" in (await browser.get("/console")).text
    check_page(await browser.send(paused.form("/resume")))
    assert (await api.get(f"/v1/subscriptions/{made['subscription_id']}"))["state"] == "active"


async def test_a_subscription_shows_format_handshake_and_keys_and_whether_it_was_tried(api: Api) -> None:
    state = api.app.state
    world = World(state.engine, state.settings.database_url, state.settings, state.wake, tenant_id=api.tenant_id)
    async with inbox() as box, world.running():
        members = {"types": ["lead.*"], "format": "cloudevents_binary", "ed25519": True}
        made = await api.post("/v1/subscriptions", {"url": box.url, **members})
        asked = await api.post("/v1/subscriptions", {"url": box.url, "handshake": True})
        browser = await logged_in(api)
        path = f"/console/subscriptions/{made['id']}"
        page = await browser.get(path)
        check_page(page)
        assert "not tried yet" in page.text
        assert "cloudevents binary" in page.text
        assert "not asked for" in page.text
        for key in made["signing_keys"]:
            assert key["id"] in page.text
        assert "made 0 minutes ago" in page.text
        assert made["secret"] not in page.html
        waiting = await browser.get(f"/console/subscriptions/{asked['id']}")
        check_page(waiting)
        assert "due" in waiting.text
        await api.lead()
        await box.until(lambda box: bool(box.ok))
        await world.until_row("SELECT 1 FROM attempts")
        tried = await browser.get(path)
        assert "answers" in tried.text
        assert "not tried yet" not in tried.text


async def test_dead_letters_are_retried_one_by_one_or_all_at_once(api: Api) -> None:
    state = api.app.state
    world = World(state.engine, state.settings.database_url, state.settings, state.wake, tenant_id=api.tenant_id)
    taking: list[int] = []
    async with inbox(lambda _: taking[0] if taking else 422) as box, world.running():
        lead = await api.lead(full_name="Told of twice")
        made = await api.post(
            "/v1/subscriptions",
            {"url": box.url, "types": ["lead.*"], "start": "earliest", "limits": {"retry_schedule": [0]}},
        )
        dead = await world.until_row("SELECT position FROM delivery_retries WHERE state = 'dead'")
        browser = await logged_in(api)
        path = f"/console/subscriptions/{made['id']}"
        page = await browser.get(path)
        check_page(page)
        assert "status 422" in page.text
        shown = await browser.get(f"/console/leads/{lead['id']}")
        check_page(shown)
        assert "dead" in shown.text
        taking.append(204)
        check_page(await browser.send(page.form(f"/deliveries/{dead.position}/retry")))
        check_page(await browser.send(page.form(f"{made['id']}/retry")))
        await world.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM delivery_retries)")
        assert "No delivery was given up." in (await browser.get(path)).text
