"""Where thousands of leads are alike, what an arrival reads, compares and stores has a limit."""

from __future__ import annotations

from typing import Any, Final

import pytest
from sqlalchemy import text

from app import ids
from app.leads.duplicates import MOST_TOLD, Alike, strongest
from app.matching.identity import Conflict
from app.matching.likeness import MOST_COMPARED, Subject
from benchmarks.many_leads import fill_leads
from tests.api import Api
from tests.plans import explained, nodes, outline, rows_read, statements_of

pytestmark = pytest.mark.own_database

STORED: Final = 3_000
MARIA: Final = {"first_name": "Maria", "last_name": "Popescu"}
KEYS: Final = {
    "a shop's customers of one name and city": ({"email": "m@gmail.com", **MARIA}, "Cluj"),
    "a mailbox written in many ways": ({"email": "m.p@gmail.com"}, None),
    "a company of thousands": ({"email": "m@nordsoft.ro", "company": "Nordsoft", **MARIA}, None),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_of_thousands_of_alike_leads_fifty_are_read_for_an_arrival(api: Api, dsn: str, kind: str) -> None:
    fields, city = KEYS[kind]
    source = await api.post("/v1/sources", {"name": "Forms", "preset": "generic"})
    sources = [ids.read("source", source["id"])]
    await fill_leads(dsn, api.tenant_id, STORED, sources=sources, owners=[None], stages=("inquiry",))
    body: dict[str, Any] = {"fields": fields, **({"custom": {"city": city}} if city else {})}
    first = await api.post("/v1/leads", body)
    async with api.app.state.engine.begin() as tx:
        keys = "INSERT INTO match_keys (tenant_id, key, lead_id) SELECT k.tenant_id, k.key, l.id"
        of_first = "FROM match_keys k JOIN leads l ON l.tenant_id = k.tenant_id AND l.id <> k.lead_id"
        await tx.execute(
            text(f"{keys} {of_first} WHERE k.lead_id = :lead_id"), {"lead_id": ids.read("lead", first["id"])}
        )
        await tx.execute(text("ANALYZE match_keys"))
    with statements_of(api.app.state.engine) as ran:
        await api.post("/v1/leads", {**body, "fields": {**fields, "email": fields["email"].replace("@", "+x@")}})
    (alike,) = [one for one in ran if "match_keys" in one[0] and "found_by" in one[0]]
    async with api.app.state.engine.connect() as tx:
        plan = await explained(tx, alike)
    of_leads = [node for node in nodes(plan) if node.get("Relation Name") == "leads"]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in of_leads) <= MOST_COMPARED, outline(plan)
    assert rows_read(plan) <= MOST_COMPARED * 8, outline(plan)


async def test_an_arrival_adds_at_most_ten_pairs_the_newest_of_the_likeliest(api: Api) -> None:
    leads = []
    for number in range(MOST_TOLD + 5):
        body = {"fields": {"email": f"m{number}@gmail.com", **MARIA}, "custom": {"city": "Cluj"}}
        leads.append(await api.post("/v1/leads", body))
    found = (await api.get("/v1/duplicates", params={"lead_id": leads[-1]["id"], "limit": 100}))["data"]
    others = {lead["id"] for pair in found for lead in pair["leads"]} - {leads[-1]["id"]}
    assert others == {lead["id"] for lead in leads[4:-1]}
    assert (await api.reload(leads[0]))["duplicate_suspected"]


def test_the_strongest_conflicts_keep_all_reasons_and_their_order() -> None:
    others = sorted(ids.new_id() for _ in range(MOST_TOLD + 3))
    weak = [Conflict(other, "phone_other_name") for other in others]
    likely = Conflict(others[0], "name_company", 95)
    kept = strongest([*weak, likely])
    assert {one.lead_id for one in kept} == {others[0], *others[-MOST_TOLD + 1 :]}
    assert [one for one in kept if one.lead_id == others[0]] == [weak[0], likely]
    assert strongest(weak[:MOST_TOLD]) == tuple(weak[:MOST_TOLD])


def test_leads_with_an_exact_key_are_compared_before_newer_ones_of_the_same_company() -> None:
    alike, mine = Alike(), Subject.of({"domain": "nordsoft.ro", **MARIA}, ["m.p@gmail.com"], {})
    same_mailbox = ids.new_id()
    alike.add(Subject.of({}, ["mp+x@gmail.com"], {}), same_mailbox)
    for number in range(2 * MOST_COMPARED):
        alike.add(Subject.of({"domain": "nordsoft.ro", "first_name": f"Mar{number:03}"}, [], {}), ids.new_id())
    assert alike.conflicts(mine, ids.new_id()) == [Conflict(same_mailbox, "email_alike", 95)]


def test_what_an_arrival_says_of_a_lead_is_compared_with_later_arrivals_of_its_batch() -> None:
    alike, lead_id, other = Alike(), ids.new_id(), ids.new_id()
    alike.add(Subject.of({"domain": "nordsoft.ro", **MARIA}, ["maria@nordsoft.ro"], {}), lead_id)
    alike.add(Subject.of({"domain": "nordsoft.ro", **MARIA}, ["m.p@gmail.com"], {}), lead_id)
    found = alike.conflicts(Subject.of({}, ["mp+x@gmail.com"], {}), other)
    assert found == [Conflict(lead_id, "email_alike", 95)]
