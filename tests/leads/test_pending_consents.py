"""What gives a consent that waits for a confirmation: the person does, and a list that has evidence."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.api import Api
from tests.confirmations.test_confirm import events
from tests.imports.lists import Lists, lead_of, make_lists, table
from tests.submissions.sender import make_sender

MARKETING, ADDRESS = "email_marketing", "ana@nordsoft.example"
TEXT = "I agree to receive the newsletter by e-mail"
ASKING = {"double_opt_in": {"purposes": [MARKETING]}}
BEFORE = ("nothing", "unknown", "pending", "given", "refused", "withdrawn")
# Each door with whether it is a list's claim, and whether that has evidence: a text that tells how consent was given.
DOORS = {
    "form of another source": (False, False),
    "POST /v1/leads": (False, False),
    "PUT consents": (False, False),
    "POST /v1/leads by the channel import": (True, False),
    "POST /v1/leads by the channel import with a text": (True, True),
    "POST /v1/leads of a source with an entry": (True, False),
    "row with a yes": (True, False),
    "row with a yes of a suspect list": (True, False),
    "row with a yes in a list with evidence": (True, True),
    "list with evidence": (True, True),
}


async def say(api: Api, door: str) -> None:
    """Ana's consent comes by this door."""
    said: dict[str, Any] = {"purpose": MARKETING, "state": "given"}
    body: dict[str, Any] = {"fields": {"email": ADDRESS}, "consents": [said]}
    evidence = {"consent": MARKETING, "consent_evidence": "signed at the fair"}
    if door == "form of another source":
        await (await make_sender(api, name=door)).post_and_process({"email": ADDRESS, "newsletter": "yes"})
    elif door == "PUT consents":
        lead = await lead_of(api, ADDRESS)
        assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": [said]})).status_code == 200
    elif door.startswith("POST /v1/leads"):
        if "channel" in door:
            body |= {"attribution": {"channel": "import"}}
        if "entry" in door:
            source = await make_sender(api, name=door, defaults={"entry": "suspect"})
            body |= {"source_id": source.source["id"]}
        if "text" in door:
            said["text"] = TEXT
        assert (await api.call("POST", "/v1/leads", body)).status_code in (200, 201)
    else:
        cell = "yes" if "row" in door else ""
        options = (evidence if "evidence" in door else {}) | ({"entry": "suspect"} if "suspect" in door else {})
        lists = await list_of(api, door)
        assert (await lists.import_list(table(("E-mail", "Newsletter"), (ADDRESS, cell)), **options))["rows"] == 1


async def list_of(api: Api, name: str) -> Lists:
    return await make_lists(api, name=name)


async def fill_asking_form(api: Api) -> None:
    sender = await make_sender(api, name="asking form", defaults=ASKING)
    await sender.post_and_process({"email": ADDRESS, "newsletter": "yes"})


async def begin(api: Api, state: str) -> None:
    """Ana is a lead whose consent has this state."""
    await api.post("/v1/leads", {"fields": {"email": ADDRESS}})
    if state == "pending":
        await fill_asking_form(api)
    elif state != "nothing":
        lead = await lead_of(api, ADDRESS)
        said = {"consents": [{"purpose": MARKETING, "state": state, "occurred_at": api.ago(days=1)}]}
        assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", said)).status_code == 200


def counting(before: str, door: str) -> str:
    """What counts after a yes by this door: that of the person always, that of a list unless the person said more."""
    is_claim, has_evidence = DOORS[door]
    if not is_claim or before == "nothing" or (before == "pending" and has_evidence):
        return "given"
    return before


async def as_of_now(api: Api, lead: dict[str, Any]) -> str:
    """The consent that the log tells of this moment, read later."""
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Later"}})
    past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": lead["updated_at"]})
    return str(past["consents"][MARKETING])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("before", BEFORE)
async def test_only_the_person_or_a_list_with_evidence_gives_what_waits_for_a_confirmation(
    api: Api, before: str, door: str
) -> None:
    await begin(api, before)
    await say(api, door)
    lead = await lead_of(api, ADDRESS)
    assert lead["consents"][MARKETING] == counting(before, door)
    log = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    assert DOORS[door][0] in [one["bought"] for one in log if one["state"] == "given"], "it is logged always"
    assert await as_of_now(api, lead) == lead["consents"][MARKETING]


@pytest.mark.parametrize("doors", [*permutations(("asking", "row with a yes", "list with evidence"), 2)])
async def test_what_a_list_and_an_asking_form_say_counts_in_whatever_order_they_come(
    api: Api, doors: tuple[str, str]
) -> None:
    await api.post("/v1/leads", {"fields": {"email": ADDRESS}})
    for door in doors:
        await (fill_asking_form(api) if door == "asking" else say(api, door))
    lead = await lead_of(api, ADDRESS)
    expected = "given" if "list with evidence" in doors else "pending"
    assert lead["consents"][MARKETING] == expected
    is_asked = len(await events(api, "lead.consent_requested")) == 1
    assert is_asked == ("asking" in doors), "a claim of a list spares nobody the question"
    assert await as_of_now(api, lead) == lead["consents"][MARKETING]


async def test_who_confirms_after_a_list_has_given_the_consent(api: Api) -> None:
    await begin(api, "pending")
    await say(api, "row with a yes")
    (asked,) = await events(api, "lead.consent_requested")
    opened = await api.client.get(asked["confirm_url"], headers={"Accept": "application/json"})
    assert opened.json() == {"state": "confirmed"}
    assert (await lead_of(api, ADDRESS))["consents"][MARKETING] == "given"
    await say(api, "row with a yes of a suspect list")
    assert (await lead_of(api, ADDRESS))["consents"][MARKETING] == "given"
