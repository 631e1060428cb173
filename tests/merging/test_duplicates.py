"""Pairs of leads that may be one person: found, listed with reasons, decided on, and remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.matching.likeness import Subject, alike_address, is_news, reasons, total
from app.matching.normalize import normalize
from tests.api import Api
from tests.merging.steps import Lead, faults, merged, unmerged

ROWS = yaml.safe_load(Path(__file__).with_name("likeness.yaml").read_text("utf-8"))
ALIKE = ({"email": "a.nowak@gmail.com"}, {"email": "anowak@gmail.com"})
SAME = [{"email": f"{name}@nordsoft.ro", "full_name": "Anna Nowak"} for name in ("anna", "an")]
typed = st.fixed_dictionaries(
    {},
    optional={
        name: st.text(max_size=30)
        | st.sampled_from(["Anna Nowak", "Nordsoft", "a@b.example", "a.b+c@gmail.com", "Łódź"])
        for name in ("email", "full_name", "company", "website", "city")
    },
)


async def new_lead(api: Api, fields: dict[str, Any]) -> Lead:
    """A lead with these fields; a city is a custom field of the API."""
    body = {"fields": {name: value for name, value in fields.items() if name != "city"}}
    if "city" in fields:
        body["custom"] = {"city": fields["city"]}
    return dict(await api.post("/v1/leads", body))


async def pairs(api: Api, **filters: Any) -> list[dict[str, Any]]:
    return list((await api.get("/v1/duplicates", params=filters))["data"])


async def verdict(api: Api, pair: dict[str, Any], word: str, status: int = 200, **options: Any) -> Any:
    actor = options.pop("actor", None) or await api.user("manager")
    headers = options.pop("headers", None)
    body = {"verdict": word, **options}
    path = f"/v1/duplicates/{pair['id']}/verdict"
    return await api.post(path, body, status=status, actor=actor, headers=headers)


@pytest.mark.parametrize("way", ["one", "other"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['one']} {row['other']}")
async def test_the_pair_has_these_reasons_whichever_of_both_comes_first(api: Api, row: Any, way: str) -> None:
    first, second = [row[name] for name in (("one", "other") if way == "one" else ("other", "one"))]
    one, other = await new_lead(api, first), await new_lead(api, second)
    found = await pairs(api)
    listed = [sorted(each["reason"] for each in pair["reasons"]) for pair in found]
    assert listed == ([sorted(row["reasons"])] if row["reasons"] else [])
    flags = [(await api.reload(lead))["duplicate_suspected"] for lead in (one, other)]
    assert flags == [bool(row["reasons"])] * 2
    if found:
        assert {lead["id"] for lead in found[0]["leads"]} == {one["id"], other["id"]}
        assert found[0]["score"] >= max(each["score"] for each in found[0]["reasons"])


@given(typed, typed)
def test_likeness_is_the_same_both_ways_and_found_by_a_common_key(mine: dict[str, str], theirs: dict[str, str]) -> None:
    one, other = (Subject.of_person(normalize(fields, {}, None), {}) for fields in (mine, theirs))
    found = reasons(one, other)
    assert found == reasons(other, one)
    assert all(0 < score <= 99 for score in found.values())
    if "email_alike" in found or "name_city" in found:
        assert one.keys & other.keys
    if found:
        assert max(found.values()) <= total(found) <= 99
        known = {str(reason): score for reason, score in found.items()}
        assert not is_news(found, known)
        known.popitem()
        assert is_news(found, known)


@given(
    st.text(max_size=20), st.text(max_size=10), st.sampled_from(["gmail.com", "googlemail.com", "outlook.com", "x.pl"])
)
def test_an_address_and_its_mailbox_have_one_mailbox(local: str, tag: str, domain: str) -> None:
    alike = alike_address(f"{local}+{tag}@{domain}")
    assert (alike is None) == (domain == "x.pl")
    assert alike is None or alike_address(alike) == alike


async def test_a_change_makes_a_pair_and_a_repeated_form_does_not_tell_of_it_again(api: Api) -> None:
    one = await new_lead(api, {"email": "anna@nordsoft.ro", "full_name": "Anna Nowak"})
    other = await new_lead(api, {"email": "an@nordsoft.ro"})
    assert await pairs(api) == []
    changed = await api.call("PATCH", f"/v1/leads/{other['id']}", {"fields": {"full_name": "Anna Nowak"}})
    assert changed.json()["duplicate_suspected"]
    (pair,) = await pairs(api)
    for fields in ({"email": "an@nordsoft.ro"}, {"email": "an@nordsoft.ro", "full_name": "Anna Nowak"}):
        await api.call("POST", "/v1/leads", {"fields": fields})
    assert await pairs(api) == [pair]
    for lead in (one, other):
        async with api.app.state.engine.connect() as tx:
            query = text("SELECT count(*) FROM events WHERE type = 'lead.duplicate_suspected' AND data LIKE :told")
            told = (await tx.execute(query, {"told": f'{{"lead_id":"{lead["id"]}"%'})).scalar_one()
        assert told == 1


async def test_a_pair_is_listed_by_state_lead_and_score_and_read_alone(api: Api) -> None:
    one, other = [await new_lead(api, fields) for fields in ALIKE]
    await new_lead(api, {"email": "anna@nordsoft.ro", "full_name": "Anna Nowak", "phone": "+40215550100"})
    await new_lead(api, {"email": "jan@wasko.pl", "full_name": "Jan Lis", "phone": "+40215550100"})
    assert [pair["score"] for pair in await pairs(api)] == [55, 95]
    (pair,) = await pairs(api, lead_id=one["id"])
    assert [lead["id"] for lead in pair["leads"]] == sorted([one["id"], other["id"]])
    assert pair["leads"][0]["fields"]["email"] == "a.nowak@gmail.com"
    assert [found["id"] for found in await pairs(api, min_score=60)] == [pair["id"]]
    assert await pairs(api, state="not_duplicate") == await pairs(api, state="merged") == []
    first = await api.get("/v1/duplicates", params={"limit": 1})
    rest = await api.get("/v1/duplicates", params={"limit": 1, "cursor": first["next"]})
    assert [*first["data"], *rest["data"]] == await pairs(api)
    alone = await api.call("GET", f"/v1/duplicates/{pair['id']}")
    assert (alone.json(), alone.headers["etag"]) == (pair, '"1"')
    for wrong in ("state=any", "min_score=x", "lead_id=1", "score=3"):
        assert (await api.call("GET", f"/v1/duplicates?{wrong}")).status_code == 422, wrong


async def test_who_are_two_people_comes_up_again_only_for_a_new_reason(api: Api) -> None:
    one = await new_lead(api, {"email": "anna@nordsoft.ro", "full_name": "Anna Nowak", "phone": "+40215550100"})
    other = await new_lead(api, {"email": "jan@wasko.pl", "full_name": "Jan Lis", "phone": "+40215550100"})
    (pair,) = await pairs(api)
    decided = await verdict(api, pair, "not_duplicate")
    assert decided["duplicate"]["state"] == "not_duplicate"
    assert decided["duplicate"]["decided_by"]["role"] == "manager"
    assert [(await api.reload(lead))["duplicate_suspected"] for lead in (one, other)] == [False, False]
    for email, name in (("anna@nordsoft.ro", "Anna Nowak"), ("jan@wasko.pl", "Jan Lis")):
        fields = {"email": email, "full_name": name, "phone": "+40215550100"}
        answer = await api.call("POST", "/v1/leads", {"fields": fields})
        assert (answer.status_code, answer.json()["duplicate_suspected"]) == (200, False)
    assert await pairs(api) == []
    changed = {"fields": {"full_name": "Anna Nowak", "website": "https://nordsoft.ro"}}
    assert (await api.call("PATCH", f"/v1/leads/{other['id']}", changed)).status_code == 200
    (again,) = await pairs(api)
    assert (again["id"], again["decided_at"]) == (pair["id"], None)
    assert {one["reason"] for one in again["reasons"]} >= {"name_company", "phone_other_name"}


@pytest.mark.parametrize("named", [None, 0, 1])
async def test_a_verdict_merges_into_the_named_lead_or_the_one_that_is_further(api: Api, named: int | None) -> None:
    older, further = await new_lead(api, SAME[0]), await api.mql(**SAME[1])
    (pair,) = await pairs(api)
    leads = (older, further)
    into = {} if named is None else {"into": leads[named]["id"]}
    done = await verdict(api, pair, "merge", **into)
    kept = leads[1 if named is None else named]
    assert (done["lead"]["id"], done["duplicate"]["state"]) == (kept["id"], "merged")
    assert done["lead"]["stage"] == "mql"
    assert not done["lead"]["duplicate_suspected"]
    assert await pairs(api) == []
    (shown,) = await pairs(api, state="merged")
    assert {lead["merged_into"] for lead in shown["leads"]} == {None, kept["id"]}
    assert (await verdict(api, pair, "not_duplicate", 409))["code"] == "state_conflict"
    gone = leads[1 - leads.index(kept)]
    await unmerged(api, gone)
    assert [found["id"] for found in await pairs(api)] == [pair["id"]]
    assert [(await api.reload(lead))["duplicate_suspected"] for lead in leads] == [True, True]
    assert await faults(api) == []


async def test_a_verdict_that_cannot_be_carried_out_is_refused(api: Api) -> None:
    _, other, third = [await new_lead(api, fields) for fields in (*ALIKE, {"email": "c@c.example"})]
    (pair,) = await pairs(api)
    sdr = await api.user("sdr")
    assert (await verdict(api, pair, "merge", 403, actor=sdr))["code"] == "role_not_allowed"
    assert (await verdict(api, pair, "maybe", 422))["errors"][0]["field"] == "verdict"
    assert (await verdict(api, pair, "merge", 422, into=third["id"]))["errors"][0]["field"] == "into"
    assert (await verdict(api, pair, "merge", 412, headers={"If-Match": '"9"'}))["code"] == "version_conflict"
    unknown = {"id": "dup_0123456789abcdefghjkmnpqrs"}
    assert (await verdict(api, unknown, "merge", 404))["code"] == "duplicate_not_found"
    await merged(api, other, third)
    assert await pairs(api) == [], "of leads of their own only"
    assert (await verdict(api, pair, "merge", 409))["merged_into"] == third["id"]
