"""A link by which a person withdraws consents: one click, no key, for ever; looking at it withdraws nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app import ids
from app.leads.double_opt_in import Token
from tests.api import Api
from tests.confirmations.test_confirm import BROWSER, altered, events
from tests.merging.steps import merged, unmerged
from tests.submissions.sender import count

EMAIL, SMS = "email_marketing", "sms_marketing"


async def say(api: Api, lead: dict[str, Any], **states: str) -> None:
    body = {"consents": [{"purpose": purpose, "state": state} for purpose, state in states.items()]}
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body)
    assert answer.status_code == 200, answer.text


async def link_of(api: Api, lead: dict[str, Any], *purposes: str) -> str:
    made = await api.post(f"/v1/leads/{lead['id']}/withdrawal-links", {"purposes": list(purposes or (EMAIL,))})
    return str(made["withdraw_url"])


async def consents(api: Api, lead: dict[str, Any]) -> dict[str, str]:
    return dict((await api.reload(lead))["consents"])


async def test_a_post_withdraws_what_was_given_and_says_how_it_was_withdrawn(api: Api) -> None:
    lead = await api.lead()
    await say(api, lead, **{EMAIL: "given", "phone": "given"})
    url = await link_of(api, lead)
    api.clock.ahead += timedelta(days=700)
    answer = await api.client.post(url, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, answer.json()) == (200, {"state": "withdrawn"})
    assert await consents(api, lead) == {EMAIL: "withdrawn", "phone": "given"}
    last = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"][-1]
    assert (last["purpose"], last["state"], last["channel"]) == (EMAIL, "withdrawn", "withdrawal_link")
    assert (await events(api, "lead.consent_changed"))[-1]["consents"] == {EMAIL: "withdrawn"}


async def test_a_browser_sees_a_page_with_a_button_and_then_that_it_is_done(api: Api) -> None:
    lead = await api.lead()
    url = await link_of(api, lead)
    for method, words in (("GET", '<form method="post"><button>Withdraw</button></form>'), ("POST", "<h1>Done</h1>")):
        page = await api.client.request(method, url, headers={"Accept": BROWSER})
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert words in page.text
        assert "<script" not in page.text
        assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_looking_at_a_link_withdraws_nothing(api: Api, method: str) -> None:
    lead = await api.lead()
    await say(api, lead, **{EMAIL: "given"})
    url, before = await link_of(api, lead, EMAIL, SMS), await api.reload(lead)
    for accept in (BROWSER, "*/*"):
        assert (await api.client.request(method, url, headers={"Accept": accept})).status_code < 300
    assert await api.reload(lead) == before
    assert (await api.client.get(url)).json() == {"purposes": [EMAIL, SMS]}


@pytest.mark.parametrize("state", [None, "given", "unknown", "refused", "withdrawn"])
async def test_what_is_refused_already_stays_and_everything_else_is_withdrawn(api: Api, state: str | None) -> None:
    lead = await api.lead()
    if state is not None:
        await say(api, lead, **{EMAIL: state})
    url, before = await link_of(api, lead), await api.reload(lead)
    for _ in range(2):
        assert (await api.client.post(url)).status_code == 200
    is_new = state not in ("refused", "withdrawn")
    assert (await consents(api, lead))[EMAIL] == ("withdrawn" if is_new else state)
    assert (await api.reload(lead))["version"] == before["version"] + is_new


async def test_ten_clicks_at_once_withdraw_once(api: Api) -> None:
    lead = await api.lead()
    await say(api, lead, **{EMAIL: "given"})
    url = await link_of(api, lead)
    answers = await asyncio.gather(*(api.client.post(url) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert await count(api, "SELECT count(*) FROM consents WHERE state = 'withdrawn'") == 1


async def test_an_old_link_withdraws_again_what_was_given_since(api: Api) -> None:
    lead = await api.lead()
    links = [await link_of(api, lead), await link_of(api, lead)]
    for url in links:
        await say(api, lead, **{EMAIL: "given"})
        api.clock.ahead += timedelta(minutes=1)
        assert (await api.client.post(url)).status_code == 200
        assert (await consents(api, lead))[EMAIL] == "withdrawn"
        api.clock.ahead += timedelta(minutes=1)


async def test_a_withdrawal_beats_a_form_and_a_list_of_before(api: Api) -> None:
    lead = await api.lead(email="ana@nordsoft.example")
    await say(api, lead, **{EMAIL: "given"})
    before = api.ago(minutes=1)
    assert (await api.client.post(await link_of(api, lead))).status_code == 200
    given = {"purpose": EMAIL, "state": "given"}
    body = {"fields": {"email": "ana@nordsoft.example"}, "consents": [given], "occurred_at": before}
    await api.post("/v1/leads", body, status=200)
    assert (await consents(api, lead))[EMAIL] == "withdrawn"


async def test_the_contact_of_the_lead_hears_of_it(api: Api) -> None:
    contact = await api.post("/v1/contacts", {"email": "ana@nordsoft.example"})
    lead = await api.lead(email="ana@nordsoft.example")
    assert lead["links"]["contact_id"] == contact["id"]
    assert (await api.client.post(await link_of(api, lead))).status_code == 200
    known = (await api.get(f"/v1/contacts/{contact['id']}"))["consents"][EMAIL]
    assert (known["state"], known["channel"]) == ("withdrawn", "withdrawal_link")


async def test_an_altered_link_is_404_and_withdraws_nothing(api: Api) -> None:
    lead = await api.lead()
    await say(api, lead, **{EMAIL: "given"})
    path, _, token = (await link_of(api, lead)).rpartition("/")
    other = Token(api.tenant_id, ids.new_id(), bytes(32))
    for text_ in [*altered(token), str(other), "x", "%00", "é"]:
        for method in ("GET", "POST"):
            answer = await api.client.request(method, f"{path}/{text_}")
            assert answer.status_code in (404, 405), (text_, answer.text)
    assert (await consents(api, lead))[EMAIL] == "given"


async def test_of_a_merged_lead_the_survivor_withdraws_and_after_an_unmerge_each_has_its_own(api: Api) -> None:
    one, other = await api.lead(), await api.lead()
    for lead in (one, other):
        await say(api, lead, **{EMAIL: "given"})
    url = await link_of(api, one)
    await merged(api, one, other)
    assert (await api.client.post(url)).status_code == 200
    assert (await consents(api, other))[EMAIL] == "withdrawn"
    await unmerged(api, one)
    assert ((await consents(api, one))[EMAIL], (await consents(api, other))[EMAIL]) == ("withdrawn", "given")


async def test_the_link_of_an_erased_lead_is_gone(api: Api) -> None:
    lead = await api.lead()
    url = await link_of(api, lead)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET erased_at = now()"))
    for method in ("GET", "POST"):
        assert (await api.client.request(method, url)).status_code == 410


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "purposes"),
        ({"purposes": []}, "purposes"),
        ({"purposes": [EMAIL] * 21}, "purposes"),
        ({"purposes": ["Email Marketing"]}, "purposes.0"),
        ({"purposes": [EMAIL], "lead": 1}, "lead"),
    ],
)
async def test_a_link_for_nothing_that_can_be_withdrawn_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    lead = await api.lead()
    answer = await api.call("POST", f"/v1/leads/{lead['id']}/withdrawal-links", body)
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, [field])


async def test_only_a_hash_of_the_secret_is_stored_and_a_purpose_once(api: Api) -> None:
    lead = await api.lead()
    token = (await link_of(api, lead, EMAIL, SMS, EMAIL)).rpartition("/")[2]
    read = Token.read(token)
    assert read is not None
    async with api.app.state.engine.connect() as tx:
        (row,) = (await tx.execute(text("SELECT * FROM withdrawal_links"))).all()
    assert (row.secret_sha256, row.purposes) == (read.sha256, [EMAIL, SMS])
