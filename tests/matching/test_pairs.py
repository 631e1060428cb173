"""Whether two arrivals with one telephone number are one person: a table of pairs, for each way of sending."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app import ids
from app.matching.identity import Candidate, resolve
from app.matching.name_key import compare, name_key
from app.matching.normalize import normalize
from app.matching.person import Person
from tests.api import NUMBERS, Api
from tests.matching.pairs import Pair, pairs
from tests.submissions.sender import make_sender, process

LEAD = UUID(int=1)
PAIRS = pairs()


def candidates(person: Person) -> list[Candidate]:
    return [
        Candidate(
            *one.key,
            LEAD,
            person.first_name,
            person.last_name,
            full_name=person.full_name,
            has_own_email=person.has_own_email,
            lead_kind=person.kind,
        )
        for one in person.identities
    ]


def reason_in(pair: Pair) -> str | None:
    one, other = (normalize(fields, {}, None) for fields in (pair.one, pair.other))
    match = resolve(other, candidates(one))
    assert (match.lead_id is None) == bool(match.conflicts)
    return match.conflicts[0].reason if match.conflicts else None


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_two_arrivals_with_one_phone_are_one_person_or_two_by_the_table(pair: Pair) -> None:
    assert reason_in(pair) == pair.reason


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.one.get("phone") and pair.other.get("phone")], ids=str)
def test_the_order_of_two_arrivals_does_not_decide_unless_one_is_an_organization(pair: Pair) -> None:
    turned = reason_in(Pair(pair.other, pair.one, pair.reason))
    is_organization = "company" in pair.one
    assert turned == pair.reason or (is_organization and turned == "organization")


NAMES = st.sampled_from(["Ana", "Ion", "Pop", "Ene", "Jr.", "van", "J.", "Ștefan", "Maria", "Dr.", "", "王伟", "o'"])


@given(first=NAMES, last=NAMES, other_first=NAMES, other_last=NAMES)
def test_comparing_names_is_symmetric_and_a_name_never_contradicts_itself(
    first: str, last: str, other_first: str, other_last: str
) -> None:
    mine, theirs = name_key(first, last), name_key(other_first, other_last)
    assert compare(mine, theirs) == compare(theirs, mine)
    assert compare(mine, mine) == ("same" if mine.is_whole else "open")
    if not mine.words or not theirs.words:
        assert compare(mine, theirs) == "open"


async def post_lead(api: Api, fields: dict[str, str]) -> dict[str, Any]:
    answer = await api.call("POST", "/v1/leads", {"fields": fields})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def patched_in(api: Api, fields: dict[str, str]) -> dict[str, Any]:
    """A lead known by an external id alone, whose other fields are patched in afterwards."""
    known = await api.post("/v1/leads", {"fields": {}, "external_ids": {"crm": str(next(NUMBERS))}})
    answer = await api.call("PATCH", f"/v1/leads/{known['id']}", {"fields": fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def events_of(api: Api, lead_id: str) -> list[Any]:
    query = text("SELECT type, data FROM events WHERE lead_id = :lead_id ORDER BY seq")
    async with api.app.state.engine.connect() as tx:
        rows = await tx.execute(query, {"lead_id": ids.read("lead", lead_id)})
        return [(row.type, json.loads(row.data)) for row in rows]


async def told_reasons(api: Api, lead_id: str) -> list[tuple[str, str]]:
    told = [data["candidates"] for type_, data in await events_of(api, lead_id) if type_ == "lead.duplicate_suspected"]
    return [(one["lead_id"], one["reason"]) for each in told for one in each]


async def outcome(api: Api, one_id: str, other_id: str) -> str | None:
    """Why two leads are two, as told by the event of the second; None for one lead."""
    if one_id == other_id:
        return None
    ((named, reason),) = await told_reasons(api, other_id)
    assert named == one_id
    assert await told_reasons(api, one_id) == [(other_id, reason)]
    for lead_id in (one_id, other_id):
        assert (await api.get(f"/v1/leads/{lead_id}"))["duplicate_suspected"]
    return reason


async def test_posted_leads_are_matched_by_the_table_of_pairs(api: Api) -> None:
    for pair in PAIRS:
        one, other = await post_lead(api, pair.one), await post_lead(api, pair.other)
        assert await outcome(api, one["id"], other["id"]) == pair.reason, pair


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
async def test_submissions_are_matched_by_the_table_of_pairs(api: Api, together: bool) -> None:
    sender = await make_sender(api)
    for pair in PAIRS:
        if together:
            made = await sender.post_and_process(json.dumps([pair.one, pair.other]), content_type="application/json")
            one, other = made["items"]
        else:
            one, other = [
                (await sender.post_and_process(dict(fields)))["items"][0] for fields in (pair.one, pair.other)
            ]
        assert await outcome(api, one["lead_id"], other["lead_id"]) == pair.reason, pair


async def test_a_patched_phone_is_flagged_with_the_reason_of_the_table(api: Api) -> None:
    for pair in [pair for pair in PAIRS if "phone" in pair.other and pair.reason]:
        one, other = await post_lead(api, pair.one), await patched_in(api, pair.other)
        # A patch makes no organization of a lead.
        expected = {pair.reason} if "company" not in pair.other else {"organization", "phone_other_name", "phone"}
        reasons = await told_reasons(api, other["id"])
        assert [named for named, _ in reasons] == [one["id"]], pair
        assert await told_reasons(api, one["id"]) == [(other["id"], reason) for _, reason in reasons]
        assert (await api.get(f"/v1/leads/{one['id']}"))["duplicate_suspected"]
        assert {reason for _, reason in reasons} <= expected, pair


async def test_two_people_with_one_phone_who_are_posted_at_once_are_two_leads(api: Api) -> None:
    for pair in [PAIRS[0], PAIRS[4]]:
        one, other = await asyncio.gather(post_lead(api, pair.one), post_lead(api, pair.other))
        assert (one["id"] != other["id"]) == bool(pair.reason)
        flagged = [(await api.get(f"/v1/leads/{lead['id']}"))["duplicate_suspected"] for lead in (one, other)]
        assert flagged == [bool(pair.reason)] * 2


async def test_a_number_that_belongs_to_two_people_makes_nobody_the_same(api: Api) -> None:
    phone = "+40215550100"
    ana = await post_lead(api, {"full_name": "Ana Pop", "email": "ana@firma.example", "phone": phone})
    dan = await post_lead(api, {"full_name": "Dan Ene", "email": "dan@firma.example", "phone": phone})
    for fields in ({}, {"first_name": "Ana"}, {"full_name": "Ana Pop"}, {"email": "eva@firma.example"}):
        third = await post_lead(api, {**fields, "phone": phone})
        assert third["id"] not in (ana["id"], dan["id"])
        told = dict(await told_reasons(api, third["id"]))
        assert {ana["id"], dan["id"]} <= told.keys()
        assert third["phone_status"] == "shared"
    again = await post_lead(api, {"email": "ana@firma.example", "phone": phone})
    assert again["id"] == ana["id"], "an address decides whatever the number"


async def test_a_number_becomes_shared_for_the_lead_that_had_it_alone(api: Api) -> None:
    ana = await post_lead(api, {"full_name": "Ana Pop", "phone": "+40215550100"})
    assert (ana["phone_status"], ana["version"]) == ("valid", 1)
    before = api.now
    api.clock.ahead += timedelta(minutes=1)
    dan = await post_lead(api, {"full_name": "Dan Ene", "phone": "+40215550100"})
    eva = await post_lead(api, {"full_name": "Eva Lup", "phone": "+40215550100"})
    now = await api.get(f"/v1/leads/{ana['id']}")
    assert [one["phone_status"] for one in (now, dan, eva)] == ["shared"] * 3
    assert now["version"] == 2, "told once, however many follow"
    type_, data = (await events_of(api, ana["id"]))[-1]
    assert (type_, data["changed"]) == ("lead.updated", ["phone_status"])
    past = await api.get(f"/v1/leads/{ana['id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert past["phone_status"] == "valid"


async def test_both_possible_duplicates_say_so_in_one_transaction_and_each_once(api: Api) -> None:
    ana = await post_lead(api, {"full_name": "Ana Pop", "phone": "+40215550100"})
    before = api.now
    api.clock.ahead += timedelta(minutes=1)
    dan = await post_lead(api, {"full_name": "Dan Ene", "phone": "+40215550100"})
    eva = await post_lead(api, {"full_name": "Eva Lup", "phone": "+40215550100"})
    query = text("SELECT lead_id, xmin::text AS tx FROM events WHERE type = 'lead.duplicate_suspected' ORDER BY seq")
    async with api.app.state.engine.connect() as tx:
        told = [(ids.show("lead", row.lead_id), row.tx) for row in await tx.execute(query)]
    assert [lead_id for lead_id, _ in told] == [dan["id"], ana["id"], eva["id"]]
    assert told[0][1] == told[1][1] != told[2][1]
    assert (await api.get(f"/v1/leads/{ana['id']}"))["version"] == 2
    past = await api.get(f"/v1/leads/{ana['id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert not past["duplicate_suspected"]


async def test_leads_that_flag_each_other_at_once_do_not_lock_each_other_out(api: Api) -> None:
    phones = [f"+4021555010{n}" for n in range(4)]
    known = [await post_lead(api, {"full_name": f"Ana Pop{n}", "phone": phone}) for n, phone in enumerate(phones)]
    later = await post_lead(api, {"full_name": "Eva Lup", "email": "eva@firma.example"})
    orders = [phones, phones[::-1], phones[2:] + phones[:2]]
    calls = [
        api.call("POST", "/v1/leads", {"fields": {"full_name": "Dan Ene", "phone": "; ".join(one)}}) for one in orders
    ]
    patch = {"fields": {"phone": "; ".join(phones)}}
    calls += [api.call("PATCH", f"/v1/leads/{one['id']}", patch) for one in (later, known[0])]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers]
    for lead in known[1:]:
        assert (await api.get(f"/v1/leads/{lead['id']}"))["duplicate_suspected"]
        assert len(await told_reasons(api, lead["id"])) == 1, "told once"


async def test_a_patched_number_is_shared_by_both_leads(api: Api) -> None:
    ana = await post_lead(api, {"full_name": "Ana Pop", "phone": "+40215550100"})
    dan = await post_lead(api, {"full_name": "Dan Ene", "email": "dan@firma.example", "country": "RO"})
    patched = await api.call("PATCH", f"/v1/leads/{dan['id']}", {"fields": {"phone": "021 555 0100"}})
    assert patched.json()["phone_status"] == "shared"
    assert (await api.get(f"/v1/leads/{ana['id']}"))["phone_status"] == "shared"
    again = await api.call("PATCH", f"/v1/leads/{dan['id']}", {"fields": {"phone": "021 555 0100"}})
    assert len(await told_reasons(api, dan["id"])) == 1, "told once"
    assert again.json()["phone_status"] == "shared"
    emptied = await api.call("PATCH", f"/v1/leads/{dan['id']}", {"fields": {"phone": None}})
    assert (emptied.json()["phone_status"], emptied.json()["raw"]["phone"]) == (None, None)


async def test_each_of_several_patched_numbers_is_shared_and_flagged(api: Api) -> None:
    ana = await post_lead(api, {"full_name": "Ana Pop", "phone": "+40215550100"})
    dan = await post_lead(api, {"full_name": "Dan Ene", "phone": "+40215550101"})
    eva = await post_lead(api, {"full_name": "Eva Lup", "email": "eva@firma.example"})
    for phones in ("+40215550199; +40215550100; +40215550101", "+40215550199"):
        patched = await api.call("PATCH", f"/v1/leads/{eva['id']}", {"fields": {"phone": phones}})
        assert patched.json()["phone_status"] == "valid", "her first number is hers alone"
    assert dict(await told_reasons(api, eva["id"])) == dict.fromkeys((ana["id"], dan["id"]), "phone_other_name")
    others = [await api.get(f"/v1/leads/{lead['id']}") for lead in (ana, dan)]
    assert [other["phone_status"] for other in others] == ["shared", "shared"]


async def test_a_replayed_form_stays_with_its_lead_and_tells_nothing_twice(api: Api) -> None:
    sender = await make_sender(api)
    first = await sender.post_and_process({"phone": "+40215550100"})
    await post_lead(api, {"full_name": "Dan Ene", "email": "dan@firma.example", "phone": "+40215550100"})
    eva = await post_lead(api, {"full_name": "Eva Lup", "email": "eva@firma.example", "phone": "+40215550100"})
    second = await sender.post_and_process({"name": "Ion Ion", "phone": "+40215550100"})
    versions = [await _version(api, one["items"][0]["lead_id"]) for one in (first, second)]
    for one in (first, second):
        await api.call("POST", f"/v1/submissions/{one['id']}/replay")
        await process(api)
        replayed = await sender.submission(one["id"])
        assert replayed["items"][0]["lead_id"] == one["items"][0]["lead_id"]
    assert [await _version(api, one["items"][0]["lead_id"]) for one in (first, second)] == versions
    assert eva["duplicate_suspected"]


async def _version(api: Api, lead_id: str) -> int:
    return int((await api.get(f"/v1/leads/{lead_id}"))["version"])
