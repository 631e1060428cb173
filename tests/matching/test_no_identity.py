"""Values that identify nobody never join two people: by the rule and through each way of sending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.no_identity import is_no_id
from app.matching.normalize import normalize
from tests.api import Api
from tests.submissions.sender import make_sender, process

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("identities.yaml").read_text("utf-8"))
PEOPLE = (("Ana Pop", "ana"), ("Ion Rus", "ion"))


def split(row: dict[str, Any], n: int) -> tuple[dict[str, str], dict[str, str]]:
    """The fields and the external ids of a row; `{n}` is the number of the row."""
    sent = {name: value.replace("{n}", str(100 + n)) for name, value in row["send"].items()}
    return {name: value for name, value in sent.items() if name != "id"}, (
        {"crm:id": sent["id"]} if "id" in sent else {}
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["send"]))
def test_only_what_names_a_person_is_an_identity(row: dict[str, Any]) -> None:
    person = normalize(*split(row, 0), None)
    assert len(person.identities) == (1 if row.get("person") else 0)
    assert person.email_status == row.get("status")
    for network in row["send"].keys() & {"linkedin", "x", "instagram", "social"}:
        assert (network == "social" or not row.get("person")) == (network in person.custom)
    if "email" in row["send"]:
        assert bool(person.fields.get("email")) == bool(person.fields.get("domain")) or person.free_mail
        assert person.raw["email"] == split(row, 0)[0]["email"]


@given(st.integers(1, 10**12), st.text(st.sampled_from("0-: .{}"), max_size=6))
def test_zeros_and_signs_alone_are_no_id_and_a_number_is_one(number: int, signs: str) -> None:
    assert is_no_id(signs)
    assert not is_no_id(f"9{number}1")


async def posted(api: Api, fields: dict[str, Any], external_ids: dict[str, str]) -> dict[str, Any]:
    answer = await api.call("POST", "/v1/leads", {"fields": fields, "external_ids": external_ids})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def all_leads(api: Api) -> list[dict[str, Any]]:
    page = await api.get("/v1/leads?limit=200")
    listed = list(page["data"])
    while page["next"]:
        page = await api.get(f"/v1/leads?limit=200&cursor={page['next']}")
        listed += page["data"]
    return listed


@pytest.mark.parametrize("preset", ["generic", "html-form"])
async def test_two_people_who_sent_the_same_words_for_nothing_are_two_leads(api: Api, preset: str) -> None:
    sender = await make_sender(api, preset)
    read = {"generic": {"linkedin", "id", "email"}, "html-form": {"email"}}[preset]
    rows = [row for row in ROWS if not row.get("person") and row["send"].keys() <= read]
    for n, row in enumerate(rows):
        fields, external_ids = split(row, n)
        for name, mailbox in PEOPLE:
            own = {"phone": f"+4072{1 if mailbox == 'ana' else 2}{100_000 + n}"} if "email" in fields else {}
            address = {"email": f"{mailbox}@p{n}.example"}
            await sender.post({"name": name, **address, **own, **fields, "external_ids": external_ids})
    await process(api)
    listed = await all_leads(api)
    assert len(listed) == 2 * len(rows)
    assert not any(lead["duplicate_suspected"] for lead in listed)


async def test_a_posted_handle_of_a_page_is_no_identity_and_alone_it_is_refused(api: Api) -> None:
    for row in [row for row in ROWS if not row.get("person") and row["send"].keys() <= {"id", "email"}]:
        fields, external_ids = split(row, 0)
        refused = await api.call("POST", "/v1/leads", {"fields": fields, "external_ids": external_ids})
        assert (refused.status_code, refused.json()["code"]) == (422, "identity_required"), row


async def test_a_placeholder_address_alone_is_quarantined_and_says_why(api: Api) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process({"email": "noemail@noemail.com", "name": "Ana Pop"})
    (item,) = made["items"]
    assert (made["state"], item["verdict"], item["reason"]) == ("quarantined", "quarantined", "identity_required")
    assert (item["mapped"]["email_status"], item["mapped"]["flags"]) == ("placeholder", ["email_placeholder"])
    assert [one["criterion"] for one in item["mapped"]["unmet"]] == ["identity", "email"]


async def test_a_lead_with_a_placeholder_address_lives_by_its_phone(api: Api) -> None:
    fields = {"email": "noemail@noemail.com", "full_name": "Ana Pop", "phone": "+40722123456"}
    lead = await posted(api, fields, {})
    assert (lead["email_status"], lead["fields"]["email"], lead["fields"]["domain"]) == ("placeholder", None, None)
    assert lead["raw"]["email"] == "noemail@noemail.com"
    again = await posted(api, {**fields, "email": "ana@acme.example"}, {})
    assert (again["id"], again["fields"]["email"], again["email_status"]) == (lead["id"], "ana@acme.example", "valid")


async def test_two_contacts_may_have_one_placeholder_address(api: Api) -> None:
    for name in ("Ana Pop", "Ion Rus"):
        await api.post("/v1/contacts", {"full_name": name, "email": "noemail@noemail.com"})


SHARED = {"external": ({}, {"crm:id": "7"}), "social": ({"website": "https://linkedin.com/in/ana-pop"}, {})}


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Ana Pop", "ana@a.example"), ("Ion Rus", "ion@b.example"), False),
        (("Ana Pop", "info@a.example"), ("Ion Rus", "ion@b.example"), False),
        (("Ana Pop", "info@a.example"), ("Ion Rus", "office@b.example"), False),
        (("Ana Pop", "ana@a.example"), ("Ion", "ion@b.example"), False),
        (("Ana Pop", "ana@a.example"), ("Pop Ana", "ana@b.example"), True),
        (("Ana Pop", "ana@a.example"), (None, "ion@b.example"), True),
        (("Ana Pop", "ana@a.example"), ("Ion Rus", None), True),
        (("Ana Pop", None), ("Ion Rus", "ion@b.example"), True),
        (("Ana Pop", "ana@a.example"), ("Ion Rus", "ana@a.example"), True),
    ],
)
async def test_an_id_or_handle_never_joins_another_address_with_another_name(
    api: Api, kind: str, one: tuple[str, str], other: tuple[str, str], same: bool
) -> None:
    leads = []
    for name, email in (one, other):
        fields = {"full_name": name, "email": email, **SHARED[kind][0]}
        leads.append(await posted(api, {key: value for key, value in fields.items() if value}, SHARED[kind][1]))
    assert (leads[0]["id"] == leads[1]["id"]) == same
    shown = [await api.get(f"/v1/leads/{lead['id']}") for lead in leads]
    assert [lead["duplicate_suspected"] for lead in shown] == [not same] * 2


async def test_one_mailbox_of_two_people_is_one_lead_that_keeps_both_names(api: Api) -> None:
    sender = await make_sender(api)
    anna = (await sender.post_and_process({"email": "smiths@home.example", "name": "Anna Smith"}))["items"][0]
    first = await api.get(f"/v1/leads/{anna['lead_id']}")
    assert (first["other_names"], first["shared_mailbox_suspected"]) == ([], False)
    before = api.now
    for name in ("Bob Jones", "bob jones", "SMITH Anna", "Anna", "Eve Jones"):
        (item,) = (await sender.post_and_process({"email": "smiths@home.example", "name": name}))["items"]
        assert item["lead_id"] == anna["lead_id"]
    lead = await api.get(f"/v1/leads/{anna['lead_id']}")
    assert lead["fields"]["full_name"] == "Anna Smith"
    assert (lead["other_names"], lead["shared_mailbox_suspected"]) == (["Bob Jones", "Eve Jones"], True)
    posted_too = await posted(api, {"email": "smiths@home.example", "first_name": "Zoe", "last_name": "Ray"}, {})
    assert posted_too["other_names"] == ["Bob Jones", "Eve Jones", "Zoe Ray"]
    past = await api.get(f"/v1/leads/{anna['lead_id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert (past["other_names"], past["shared_mailbox_suspected"]) == ([], False)
