"""Somebody who was erased comes again: nothing is stored without a new consent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.events.sequence import sequence
from tests.api import Api
from tests.erasure.people import erase, where
from tests.imports.lists import make_lists, process_lists, table
from tests.submissions.sender import Sender, make_sender, process

EMAIL = "ada.lovelace@engine.example"
PERSON = {"email": EMAIL, "full_name": "Ada Lovelace"}
NEEDLES = ["ada.lovelace", "lovelace"]


async def known_and_erased(api: Api) -> tuple[Sender, dict[str, Any]]:
    """A source, and the erased lead of its form."""
    sender = await make_sender(api)
    lead_id = (await sender.post_and_process({**PERSON, "message": "first"}))["items"][0]["lead_id"]
    await erase(api, {"id": lead_id})
    api.clock.ahead += timedelta(seconds=5)
    return sender, {"id": lead_id}


async def suppressed_events(api: Api) -> list[dict[str, Any]]:
    await sequence(api.app.state.engine)
    page = await api.get("/v1/events", params={"after": "earliest", "types": "lead.suppressed"})
    return [one["data"] for one in page["data"]]


async def test_a_form_is_accepted_and_nothing_of_it_is_stored(api: Api) -> None:
    sender, lead = await known_and_erased(api)
    again = await sender.post_and_process({**PERSON, "message": "second"})
    assert [(one["verdict"], one["lead_id"]) for one in again["items"]] == [("suppressed", None)]
    assert again["state"] == "processed"
    raw = await api.call("GET", f"/v1/submissions/{again['id']}/raw")
    assert (raw.status_code, raw.json()["code"]) == (410, "erased")
    assert await where(api, NEEDLES) == []
    (told,) = await suppressed_events(api)
    assert (told["lead_id"], told["submission_id"]) == (lead["id"], again["id"])
    assert (await api.call("POST", f"/v1/submissions/{again['id']}/replay")).status_code == 410
    assert (await api.get("/v1/leads"))["data"] == []


async def test_a_new_consent_makes_a_new_lead_and_ends_the_suppression(api: Api) -> None:
    sender, lead = await known_and_erased(api)
    again = await sender.post_and_process({**PERSON, "message": "second", "newsletter": "yes"})
    (item,) = again["items"]
    assert item["verdict"] == "lead"
    assert item["lead_id"] not in (None, lead["id"])
    assert (await api.reload({"id": item["lead_id"]}))["fields"]["email"] == EMAIL
    later = await sender.post_and_process({**PERSON, "message": "third"})
    assert later["items"][0]["lead_id"] == item["lead_id"]
    assert await suppressed_events(api) == []
    await erase(api, {"id": item["lead_id"]})
    fourth = await sender.post_and_process({**PERSON, "message": "fourth"})
    assert fourth["items"][0]["verdict"] == "suppressed", "who was erased again is suppressed again"
    assert await where(api, NEEDLES) == []


@pytest.mark.parametrize(("seconds", "status"), [(-1, 202), (0, 202), (1, 201)])
async def test_a_consent_counts_only_if_it_was_given_after_the_erasure(api: Api, seconds: int, status: int) -> None:
    lead = await api.lead(**PERSON)
    erased = await erase(api, lead)
    at = (api.now.fromisoformat(erased["erased_at"]) + timedelta(seconds=seconds)).isoformat()
    api.clock.ahead += timedelta(seconds=5)
    consent = {"purpose": "email_marketing", "state": "given", "occurred_at": at}
    answer = await api.call("POST", "/v1/leads", {"fields": PERSON, "consents": [consent]})
    assert answer.status_code == status, answer.text
    assert (answer.json() == {"suppressed": True}) == (status == 202)
    assert (await where(api, NEEDLES) == []) == (status == 202)


@pytest.mark.parametrize("state", ["refused", "withdrawn", "unknown"])
async def test_what_is_no_consent_makes_no_lead(api: Api, state: str) -> None:
    await erase(api, await api.lead(**PERSON))
    api.clock.ahead += timedelta(seconds=5)
    said = [{"purpose": "email_marketing", "state": state}]
    answer = await api.call("POST", "/v1/leads", {"fields": PERSON, "consents": said})
    assert answer.status_code in (202, 422), answer.text
    assert await where(api, NEEDLES) == []


async def test_a_list_cannot_consent_for_somebody_and_keeps_the_other_rows(api: Api) -> None:
    await known_and_erased(api)
    lists = await make_lists(api)
    rows = (("email", "full_name"), (EMAIL, "Ada Lovelace"), ("grace@navy.example", "Grace Hopper"))
    made = await lists.post(table(*rows), consent="email_marketing", consent_evidence="a fair")
    await process_lists(api)
    assert [one["verdict"] for one in await lists.rows(made)] == ["suppressed", "lead"]
    assert await where(api, NEEDLES) == []
    assert await where(api, ["grace@navy"]) != []


async def test_a_retry_of_the_provider_is_no_new_consent(api: Api) -> None:
    sender = await make_sender(api, "generic", overrides={"submission_key": "item.id"})
    form = {**PERSON, "id": "form-1", "newsletter": "yes"}
    first = await sender.post_and_process(form)
    await erase(api, {"id": first["items"][0]["lead_id"]})
    api.clock.ahead += timedelta(days=1)
    again = await sender.post_and_process(form)
    assert [one["verdict"] for one in again["items"]] == ["suppressed"]
    assert await where(api, NEEDLES) == []
    new = await sender.post_and_process({**form, "id": "form-2"})
    assert [one["verdict"] for one in new["items"]] == ["lead"]


async def test_an_activity_by_an_erased_address_is_of_nobody(api: Api) -> None:
    await known_and_erased(api)
    body = {"activities": [{"type": "webinar", "email": EMAIL, "properties": {"of": "Ada Lovelace"}}]}
    (answer,) = (await api.post("/v1/activities", body, status=201))["data"]
    assert (answer["recorded"], answer["reason"]) == (False, "person_unknown")
    assert await where(api, NEEDLES) == []


async def test_the_number_of_a_switchboard_does_not_suppress_colleagues(api: Api) -> None:
    number = "+40215550177"
    one = await api.lead(email="ada@engine.example", full_name="Ada Lovelace", phone=number)
    await api.lead(email="grace@engine.example", full_name="Grace Hopper", phone=number)
    await erase(api, one)
    third = await api.call(
        "POST", "/v1/leads", {"fields": {"email": "joan@engine.example", "full_name": "Joan Clarke", "phone": number}}
    )
    assert third.status_code == 201, third.text


async def test_what_waited_to_be_processed_is_suppressed(api: Api) -> None:
    sender = await make_sender(api)
    lead = await api.lead(**PERSON)
    assert (await sender.post({**PERSON, "message": "waits"})).status_code == 202
    await erase(api, lead)
    await process(api)
    assert await where(api, NEEDLES) == []
    assert (await api.get("/v1/leads"))["data"] == []
