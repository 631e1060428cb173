"""Double opt-in: a consent of a form is pending until the person opens the link, and counts only then."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app import ids
from app.commands.worker import LINK_KNOWN
from app.confirmations import across
from app.confirmations.across import sweep_requests
from app.events.about_leads import LeadConsentRequested
from app.events.sequence import sequence
from app.leads.double_opt_in import Token
from app.settings import Settings
from tests.api import Api, running
from tests.submissions.sender import Sender, count, make_sender, process
from tests.webhooks.conftest import inbox

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
ASKED = {"email": "ana@nordsoft.example", "name": "Ana Pop", "newsletter": "yes"}


async def make_form(api: Api, **rule: Any) -> Sender:
    return await make_sender(api, defaults={"double_opt_in": {"purposes": ["email_marketing"], **rule}})


async def fill(sender: Sender, **values: Any) -> dict[str, Any]:
    """The lead of a form that is sent and processed."""
    made = await sender.post_and_process({**ASKED, **values})
    return dict(await sender.api.get(f"/v1/leads/{made['items'][0]['lead_id']}"))


async def events(api: Api, kind: str) -> list[dict[str, Any]]:
    await sequence(api.app.state.engine)
    return [one["data"] for one in (await api.get(f"/v1/events?types={kind}&limit=500"))["data"]]


async def link(api: Api) -> str:
    return str((await events(api, "lead.consent_requested"))[-1]["confirm_url"])


async def state_of(api: Api, lead: dict[str, Any]) -> str | None:
    found = (await api.reload(lead))["consents"].get("email_marketing")
    return None if found is None else str(found)


async def test_a_given_consent_is_pending_until_its_link_is_opened_and_given_from_then_on(api: Api) -> None:
    lead = await fill(await make_form(api))
    (asked,) = await events(api, "lead.consent_requested")
    LeadConsentRequested.model_validate(asked)
    assert lead["consents"]["email_marketing"] == "pending"
    assert (asked["lead_id"], asked["purposes"]) == (lead["id"], ["email_marketing"])
    assert await events(api, "lead.consent_changed") == []

    before = api.now
    api.clock.ahead += timedelta(hours=1)
    opened = await api.client.get(asked["confirm_url"], headers={"Accept": BROWSER})
    assert (opened.status_code, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<script" not in opened.text
    assert await state_of(api, lead) == "given"
    assert [one["consents"] for one in await events(api, "lead.consent_changed")] == [{"email_marketing": "given"}]
    log = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    assert [
        (one["state"], one["channel"] == "double_opt_in") for one in log if one["purpose"] == "email_marketing"
    ] == [
        ("pending", False),
        ("given", True),
    ]
    as_of = before.isoformat().replace("+00:00", "Z")
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={as_of}")
    assert past["consents"]["email_marketing"] == "pending"


async def test_a_link_works_once_however_often_and_by_how_many_at_once_it_is_opened(api: Api) -> None:
    lead = await fill(await make_form(api))
    url = await link(api)
    answers = await asyncio.gather(*(api.client.get(url) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert await count(api, "SELECT count(*) FROM consents WHERE state = 'given'") == 1
    version = (await api.reload(lead))["version"]

    withdrawn = {"consents": [{"purpose": "email_marketing", "state": "withdrawn"}]}
    await api.call("PUT", f"/v1/leads/{lead['id']}/consents", withdrawn)
    assert (await api.client.get(url)).status_code == 410
    assert await state_of(api, lead) == "withdrawn"
    assert (await api.reload(lead))["version"] == version + 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("days", [0, 30])
@pytest.mark.parametrize(
    ("refused", "status"),
    [
        ({}, 200),
        ({"email_marketing": "withdrawn"}, 200),
        ({"email_marketing": "withdrawn", "sms_marketing": "refused"}, 410),
        ({"email_marketing": "refused", "sms_marketing": "refused"}, 410),
    ],
)
async def test_a_confirmed_link_is_good_as_long_as_a_consent_that_it_gave_is_not_taken_back(
    api: Api, refused: dict[str, str], status: int, days: int, method: str
) -> None:
    lead = await fill(await make_form(api, purposes=["email_marketing", "sms_marketing"], ask="always"))
    url = await link(api)
    assert (await api.client.get(url)).status_code == 200
    api.clock.ahead += timedelta(days=days, minutes=1)
    if refused:
        said = [{"purpose": purpose, "state": state} for purpose, state in refused.items()]
        await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": said})
    before = await api.reload(lead)
    assert (await api.client.request(method, url)).status_code == status
    assert await api.reload(lead) == before


@pytest.mark.parametrize("state", ["refused", "withdrawn"])
async def test_who_has_refused_since_confirms_nothing_by_an_old_link(api: Api, state: str) -> None:
    lead = await fill(await make_form(api))
    url = await link(api)
    api.clock.ahead += timedelta(minutes=1)
    consents = {"consents": [{"purpose": "email_marketing", "state": state}]}
    await api.call("PUT", f"/v1/leads/{lead['id']}/consents", consents)
    assert (await api.client.get(url)).status_code == 410
    assert await state_of(api, lead) == state


async def test_a_link_expires(api: Api) -> None:
    lead = await fill(await make_form(api, valid_hours=2))
    url = await link(api)
    api.clock.ahead += timedelta(hours=2)
    page = await api.client.get(url, headers={"Accept": BROWSER})
    refused = await api.client.get(url, headers={"Accept": "application/json"})
    assert (page.status_code, refused.status_code, refused.json()["code"]) == (410, 410, "confirmation_expired")
    assert page.headers["content-type"].startswith("text/html")
    assert await state_of(api, lead) == "pending"


def altered(token: str) -> list[str]:
    raw = urlsafe_b64decode(token)
    flipped = [
        urlsafe_b64encode(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]).decode() for place in (0, 20, 40)
    ]
    return [*flipped, token[:-1], token + "A", token.lower(), token[:-4], "A" * len(token), "x", "%00", "é", "%20"]


async def test_an_altered_link_is_404_and_confirms_nothing(api: Api) -> None:
    lead = await fill(await make_form(api))
    url = await link(api)
    root, _, token = url.rpartition("/")
    for wrong in altered(token):
        refused = await api.client.get(f"{root}/{wrong}", headers={"Accept": "application/json"})
        assert (refused.status_code, refused.json()["code"]) == (404, "confirmation_not_found"), wrong
        assert (await api.client.get(f"{root}/{wrong}", headers={"Accept": BROWSER})).status_code == 404
    assert await state_of(api, lead) == "pending"
    assert (await api.client.get(url, headers={"Accept": "application/json"})).json() == {"state": "confirmed"}


async def test_a_program_that_looks_at_links_with_head_or_options_confirms_nothing(api: Api) -> None:
    lead = await fill(await make_form(api))
    url = await link(api)
    assert (await api.client.head(url)).status_code == 200
    assert (await api.client.head(url + "A")).status_code == 404
    await api.client.options(url)
    assert (await api.client.post(url)).status_code == 405
    assert await state_of(api, lead) == "pending"


@pytest.mark.parametrize(
    ("ask", "newsletter", "state", "requests"),
    [
        ("given", "yes", "pending", 1),
        ("given", "no", "refused", 0),
        ("given", None, "unknown", 0),
        ("given", "perhaps", "unknown", 0),
        ("always", "yes", "pending", 1),
        ("always", "no", "refused", 0),
        ("always", None, "pending", 1),
    ],
)
async def test_who_is_asked_depends_on_the_answer_and_the_rule(
    api: Api, ask: str, newsletter: str | None, state: str, requests: int
) -> None:
    lead = await fill(await make_form(api, ask=ask), newsletter=newsletter)
    assert lead["consents"].get("email_marketing") == state
    assert len(await events(api, "lead.consent_requested")) == requests


@pytest.mark.parametrize(
    ("known", "state", "requests"),
    [("given", "given", 0), ("refused", "refused", 1), ("withdrawn", "withdrawn", 1), ("unknown", "unknown", 1)],
)
async def test_pending_replaces_no_decision_of_a_known_person(api: Api, known: str, state: str, requests: int) -> None:
    lead = await api.lead(email=ASKED["email"])
    consents = {"consents": [{"purpose": "email_marketing", "state": known}]}
    await api.call("PUT", f"/v1/leads/{lead['id']}/consents", consents)
    api.clock.ahead += timedelta(minutes=1)
    shown = await fill(await make_form(api))
    assert shown["id"] == lead["id"]
    assert shown["consents"]["email_marketing"] == state
    assert len(await events(api, "lead.consent_requested")) == requests
    now = api.now.isoformat().replace("+00:00", "Z")
    api.clock.ahead += timedelta(minutes=1)
    if requests:
        assert (await api.client.get(await link(api))).status_code == 200
    assert await state_of(api, lead) == "given"
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={now}")
    assert past["consents"]["email_marketing"] == state


async def test_the_same_person_is_asked_at_most_once_an_hour(api: Api) -> None:
    sender = await make_form(api)
    for n in range(3):
        await fill(sender, message=f"again {n}")
    assert len(await events(api, "lead.consent_requested")) == 1
    api.clock.ahead += timedelta(hours=1)
    lead = await fill(sender, message="an hour later")
    first, second = [one["confirm_url"] for one in await events(api, "lead.consent_requested")]
    assert first != second
    assert (await api.client.get(first)).status_code == 200
    assert (await api.client.get(second)).status_code == 200
    assert await state_of(api, lead) == "given"


@pytest.mark.parametrize("state", ["withdrawn", "refused"])
@pytest.mark.parametrize("confirms", [False, True])
async def test_who_signs_up_again_within_the_hour_of_a_refusal_gets_another_link(
    api: Api, state: str, confirms: bool
) -> None:
    form = await make_form(api)
    lead = await fill(form)
    first = await link(api)
    if confirms:
        assert (await api.client.get(first)).status_code == 200
    api.clock.ahead += timedelta(minutes=1)
    said = {"consents": [{"purpose": "email_marketing", "state": state}]}
    await api.call("PUT", f"/v1/leads/{lead['id']}/consents", said)
    api.clock.ahead += timedelta(minutes=1)
    for n in range(3):
        await fill(form, message=f"again {n}")
    assert len(await events(api, "lead.consent_requested")) == 2
    assert await state_of(api, lead) == state
    assert (await api.client.get(first)).status_code == 410
    assert (await api.client.get(await link(api))).status_code == 200
    assert await state_of(api, lead) == "given"


async def test_a_refusal_of_one_purpose_asks_again_only_for_that_one(api: Api) -> None:
    form = await make_form(api, purposes=["email_marketing", "sms_marketing"], ask="always")
    lead = await fill(form)
    api.clock.ahead += timedelta(minutes=1)
    said = {"consents": [{"purpose": "sms_marketing", "state": "withdrawn"}]}
    await api.call("PUT", f"/v1/leads/{lead['id']}/consents", said)
    api.clock.ahead += timedelta(minutes=1)
    await fill(form, message="again")
    asked = [one["purposes"] for one in await events(api, "lead.consent_requested")]
    assert [sorted(purposes) for purposes in asked] == [["email_marketing", "sms_marketing"], ["sms_marketing"]]


@pytest.mark.parametrize("ask", ["given", "always"])
async def test_who_has_no_address_is_pending_and_asked_once_there_is_one(api: Api, ask: str) -> None:
    form = await make_form(api, ask=ask)
    phone = {"email": None, "phone": "+40 721 234 567"}
    lead = await fill(form, **phone)
    assert lead["consents"]["email_marketing"] == "pending"
    await fill(form, message="again", **phone)
    assert await events(api, "lead.consent_requested") == []
    shown = await fill(form, phone=phone["phone"])
    assert (shown["id"], shown["consents"]["email_marketing"]) == (lead["id"], "pending")
    assert [one["lead_id"] for one in await events(api, "lead.consent_requested")] == [lead["id"]]
    assert (await api.client.get(await link(api))).status_code == 200
    assert await state_of(api, lead) == "given"


async def test_other_purposes_and_other_sources_are_as_before(api: Api) -> None:
    lead = await fill(await make_form(api), consents={"sms_marketing": True}, gdpr="yes")
    other = await make_sender(api)
    given = await fill(other, email="other@nordsoft.example")
    assert lead["consents"] == {"email_marketing": "pending", "sms_marketing": "given", "process": "given"}
    assert given["consents"]["email_marketing"] == "given"


async def test_a_lead_that_the_api_creates_for_such_a_source_is_asked_too(api: Api) -> None:
    sender = await make_form(api)
    consents = [{"purpose": "email_marketing", "state": "given", "text": "Send me news"}]
    body = {"fields": {"email": "a@nordsoft.example"}, "source_id": sender.source["id"], "consents": consents}
    lead = await api.post("/v1/leads", body)
    assert lead["consents"] == {"email_marketing": "pending"}
    assert (await api.client.get(await link(api))).status_code == 200
    log = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    assert [one["text"] for one in log] == ["Send me news", "Send me news"]


async def test_a_contact_has_the_consent_once_it_is_confirmed(api: Api) -> None:
    contact = await api.post("/v1/contacts", {"email": ASKED["email"]})
    lead = await fill(await make_form(api))
    assert lead["links"]["contact_id"] == contact["id"]
    before = (await api.get(f"/v1/contacts/{contact['id']}"))["consents"]["email_marketing"]["state"]
    await api.client.get(await link(api))
    after = (await api.get(f"/v1/contacts/{contact['id']}"))["consents"]["email_marketing"]
    assert (before, after["state"], after["channel"]) == ("pending", "given", "double_opt_in")


async def test_a_contact_keeps_its_decision_while_another_is_pending(api: Api) -> None:
    contact = await api.post("/v1/contacts", {"email": ASKED["email"]})
    lead = await fill(await make_sender(api), newsletter="no")
    api.clock.ahead += timedelta(minutes=1)
    await fill(await make_form(api))
    kept = (await api.get(f"/v1/contacts/{contact['id']}"))["consents"]["email_marketing"]
    assert (kept["state"], await state_of(api, lead)) == ("refused", "refused")


async def test_a_browser_is_led_to_the_page_of_the_source(api: Api) -> None:
    await fill(await make_form(api, confirmed_url="https://www.acme.example/welcome"))
    url = await link(api)
    browser = await api.client.get(url, headers={"Accept": BROWSER})
    assert (browser.status_code, browser.headers["location"]) == (303, "https://www.acme.example/welcome")
    assert browser.headers["referrer-policy"] == "no-referrer"
    assert (await api.client.get(url, headers={"Accept": "application/json"})).status_code == 200


async def test_a_receiver_gets_the_link_and_only_a_hash_of_its_secret_is_kept_beside_the_event(
    settings: Settings,
) -> None:
    async with inbox() as box, running(settings, roles=("work", "dispatch")) as api:
        await api.post("/v1/subscriptions", {"url": box.url, "types": ["lead.consent_requested"]})
        await (await make_form(api)).post(ASKED)
        await box.until_received(1)
        url = box.got[0].event["data"]["confirm_url"]
        assert (await api.client.get(url)).status_code == 200
        secret = Token.read(url.rpartition("/")[2])
        assert secret is not None
        stored = "SELECT count(*) FROM consent_requests r WHERE r::text LIKE :pattern"
        assert await count(api, stored, pattern=f"%{secret.sha256}%") == 1
        assert await count(api, stored, pattern=f"%{secret.secret.hex()}%") == 0
        lead_id = box.got[0].event["data"]["lead_id"]
        timeline = await api.call("GET", f"/v1/leads/{lead_id}/timeline")
        assert "confirm" not in timeline.text


async def test_a_processed_submission_that_is_replayed_asks_nobody_again(api: Api) -> None:
    sender = await make_form(api)
    made = await sender.post_and_process(ASKED)
    api.clock.ahead += timedelta(days=1)
    await api.call("POST", f"/v1/submissions/{made['id']}/replay")
    await process(api)
    assert len(await events(api, "lead.consent_requested")) == 1


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"purposes": []}, "defaults.double_opt_in.purposes"),
        ({"purposes": ["E-Mail"]}, "defaults.double_opt_in.purposes.0"),
        ({"valid_hours": 0}, "defaults.double_opt_in.valid_hours"),
        ({"valid_hours": 10_000}, "defaults.double_opt_in.valid_hours"),
        ({"ask": "never"}, "defaults.double_opt_in.ask"),
        ({"confirmed_url": "/welcome"}, "defaults.double_opt_in.confirmed_url"),
        ({"mail": True}, "defaults.double_opt_in.mail"),
    ],
)
async def test_a_faulty_rule_is_refused_with_its_place(api: Api, rule: dict[str, Any], field: str) -> None:
    body = {"name": "x", "preset": "generic", "defaults": {"double_opt_in": rule}}
    refused = await api.call("POST", "/v1/sources", body)
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (422, [field])


@given(st.text(max_size=200))
def test_no_text_is_a_token_but_the_one_that_was_written(typed: str) -> None:
    found = Token.read(typed)
    assert found is None or str(found) == typed


async def test_a_lead_that_was_merged_is_confirmed_on_the_one_it_was_merged_into(api: Api) -> None:
    lead, other = await fill(await make_form(api)), await api.lead()
    url = await link(api)
    merge = text("UPDATE leads SET merged_into = :into WHERE id = :id")
    async with api.app.state.engine.begin() as tx:
        await tx.execute(merge, {"id": ids.read("lead", lead["id"]), "into": ids.read("lead", other["id"])})
    assert (await api.client.get(url)).status_code == 200
    assert await state_of(api, other) == "given"


async def test_a_lead_that_was_erased_cannot_be_confirmed(api: Api) -> None:
    await fill(await make_form(api))
    url = await link(api)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET erased_at = now()"))
    assert (await api.client.get(url, headers={"Accept": BROWSER})).status_code == 410
    refused = await api.client.get(url, headers={"Accept": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (410, "erased")


async def test_requests_that_nobody_answered_are_deleted_a_month_after_they_expired(api: Api) -> None:
    form = await make_form(api)
    unanswered, confirmed = await fill(form), await fill(form, email="jan@nordsoft.example", name="Jan Lis")
    links = [one["confirm_url"] for one in await events(api, "lead.consent_requested")]
    assert (await api.client.get(links[1])).status_code == 200

    async def swept() -> int:
        async with api.app.state.engine.begin() as tx:
            return await sweep_requests(tx, api.now - LINK_KNOWN)

    assert await swept() == 0
    api.clock.ahead += timedelta(days=29)
    assert await swept() == 0
    assert (await api.client.get(links[0])).status_code == 410
    api.clock.ahead += timedelta(days=32)
    assert await swept() == 1
    assert await swept() == 0
    assert [(await api.client.get(one)).status_code for one in links] == [404, 200]
    assert [await state_of(api, lead) for lead in (unanswered, confirmed)] == ["pending", "given"]


async def test_requests_that_nobody_answered_are_deleted_in_small_batches(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across, "REQUESTS_AT_ONCE", 2)
    form = await make_form(api)
    for number in range(3):
        await fill(form, email=f"p{number}@nordsoft.example", name=f"P {number}")
    api.clock.ahead += timedelta(days=90)
    deleted = []
    for _ in range(3):
        async with api.app.state.engine.begin() as tx:
            deleted.append(await sweep_requests(tx, api.now))
    assert deleted == [2, 1, 0]


async def test_a_refusal_at_the_instant_of_the_request_makes_its_link_void(api: Api) -> None:
    lead = await fill(await make_form(api))
    async with api.app.state.engine.connect() as tx:
        asked_at = (await tx.execute(text("SELECT requested_at FROM consent_requests"))).scalar_one()
    said = {"purpose": "email_marketing", "state": "refused", "occurred_at": asked_at.isoformat()}
    await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": [said]})
    assert (await api.client.get(await link(api))).status_code == 410
    assert await state_of(api, lead) == "refused"
