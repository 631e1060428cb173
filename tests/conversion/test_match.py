"""Which records a conversion links or creates, and which conversions are refused without writing anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import all_rows, convert, converted, count, moved, outcomes, preview, sql_lead

ANNA = {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft", "country": "RO"}


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


async def refused(api: Api, lead: dict[str, Any], actor: str | None, order: Any = None, **options: Any) -> Any:
    """Requests a conversion, which must be refused and leave every table unchanged; the problem."""
    before = await all_rows(api)
    answer = await convert(api, lead, actor, order, **options)
    assert answer.status_code >= 400, answer.text
    assert await all_rows(api) == before
    return answer.json()


async def test_several_strong_matches_are_refused_with_the_candidates(api: Api, ae: str) -> None:
    one = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})
    two = await api.post("/v1/accounts", {"name": "Nordsoft Group", "external_id": "N-1"})
    lead = await sql_lead(api, ae, **ANNA)
    problem = await refused(api, lead, ae, {"account": {"values": {"external_id": "N-1"}}})
    assert (problem["status"], problem["code"], problem["candidates_hidden"]) == (409, "ambiguous_match", 0)
    assert {(each["id"], *each["match_keys"]) for each in problem["candidates"]} == {
        (one["id"], "domain"),
        (two["id"], "external_id"),
    }
    assert set(problem["candidates"][0]) == {"type", "id", "display", "match_keys", "score"}
    made = await converted(api, lead, ae, {"account": {"mode": "use", "id": two["id"]}})
    assert made["account"] == {"id": two["id"], "outcome": "linked"}
    assert (await api.get(f"/v1/accounts/{two['id']}"))["domain"] is None  # the key of the other account is not copied
    assert outcomes(made)["domain"] == "kept_existing"


async def test_a_weak_account_match_is_refused_and_mode_create_creates_a_new_account(api: Api, ae: str) -> None:
    known = await api.post("/v1/accounts", {"name": "NORDSOFT S.R.L.", "country": "Romania"})
    elsewhere = await api.post("/v1/accounts", {"name": "Nordsoft", "country": "DE"})
    lead = await sql_lead(api, ae, **ANNA)
    problem = await refused(api, lead, ae)
    assert [(each["type"], each["id"], each["match_keys"]) for each in problem["candidates"]] == [
        ("account", known["id"], ["name_country"])
    ]
    made = await converted(api, lead, ae, {"account": {"mode": "create"}})
    assert made["account"]["outcome"] == "created"
    assert made["account"]["id"] not in (known["id"], elsewhere["id"])


async def test_a_weak_contact_match_is_refused_with_the_candidate(api: Api, ae: str) -> None:
    body = {"phone": "+40 21 555 0100", "first_name": "Ana", "last_name": "ZVORIȘTEANU"}
    known = await api.post("/v1/contacts", body)
    await api.post("/v1/contacts", {**body, "last_name": "Popescu"})
    lead = await sql_lead(api, ae, **ANNA | {"full_name": "Anna Zvorișteanu"}, phone="+40 21 555 0100")
    problem = await refused(api, lead, ae)
    assert [(each["type"], each["id"], each["match_keys"]) for each in problem["candidates"]] == [
        ("contact", known["id"], ["phone_name"])
    ]
    made = await converted(api, lead, ae, {"contact": {"mode": "use", "id": known["id"]}})
    after = await api.get(f"/v1/contacts/{known['id']}")
    assert (after["email"], after["first_name"], after["account_id"]) == (
        "anna@nordsoft.ro",
        "Ana",
        made["account"]["id"],
    )


async def test_a_strong_contact_match_is_linked(api: Api, ae: str) -> None:
    known = await api.post("/v1/contacts", {"email": "ANNA@Nordsoft.ro", "job_title": "CEO"})
    made = await converted(api, await sql_lead(api, ae, **ANNA), ae)
    after = await api.get(f"/v1/contacts/{known['id']}")
    assert made["contact"] == {"id": known["id"], "outcome": "linked"}
    assert (after["job_title"], after["last_name"], after["version"]) == ("CEO", "Zvoristeanu", 2)


async def test_a_shared_mailbox_is_a_weak_key(api: Api, ae: str) -> None:
    known = await api.post("/v1/contacts", {"email": "office@nordsoft.ro", "first_name": "Dan", "last_name": "Pop"})
    lead = await sql_lead(api, ae, email="office@nordsoft.ro", full_name="Anna Zvoristeanu", company="Nordsoft")
    problem = await refused(api, lead, ae)
    assert [each["id"] for each in problem["candidates"]] == [known["id"]]
    taken = await refused(api, lead, ae, {"contact": {"mode": "create"}})
    assert taken["code"] == "already_exists"
    made = await converted(api, lead, ae, {"contact": {"mode": "create", "values": {"email": "anna@nordsoft.ro"}}})
    assert made["contact"]["outcome"] == "created"


async def test_mode_create_never_duplicates_a_strong_key(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})
    contact = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro", "account_id": account["id"]})
    lead = await sql_lead(api, ae, **ANNA)
    problem = await refused(api, lead, ae, {"account": {"mode": "create"}})
    assert (problem["status"], problem["code"]) == (409, "already_exists")
    assert [each["id"] for each in problem["candidates"]] == [account["id"]]
    problem = await refused(api, lead, ae, {"contact": {"mode": "create"}})
    assert [each["id"] for each in problem["candidates"]] == [contact["id"]]


async def test_a_contact_of_another_account_is_moved_only_with_relink(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)  # before there is a contact that her form would link to
    other = await api.post("/v1/accounts", {"name": "Elsewhere", "domain": "elsewhere.ro"})
    contact = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro", "account_id": other["id"]})
    problem = await refused(api, lead, ae)
    assert (problem["status"], problem["code"]) == (422, "contact_not_in_account")
    assert (problem["contact_id"], problem["account_id"]) == (contact["id"], other["id"])
    made = await converted(api, lead, ae, {"contact": {"relink": True}})
    assert (await api.get(f"/v1/contacts/{contact['id']}"))["account_id"] == made["account"]["id"]


async def test_archived_records_are_neither_used_nor_matched(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})
    await api.call("PATCH", f"/v1/accounts/{account['id']}", {"archived": True})
    lead = await sql_lead(api, ae, **ANNA)
    problem = await refused(api, lead, ae, {"account": {"mode": "use", "id": account["id"]}})
    assert (problem["status"], problem["code"]) == (422, "target_unavailable")
    assert (await converted(api, lead, ae))["account"]["outcome"] == "created"


async def test_a_record_of_another_tenant_is_not_found(api: Api, ae: str) -> None:
    made = await api.post("/v1/tenants", {"name": "rival"})
    theirs = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"}, key=made["key"]["secret"])
    lead = await sql_lead(api, ae, **ANNA)
    problem = await refused(api, lead, ae, {"account": {"mode": "use", "id": theirs["id"]}})
    assert (problem["status"], problem["code"]) == (404, "account_not_found")
    assert [one["field"] for one in problem["errors"]] == ["account.id"]
    assert (await converted(api, lead, ae))["account"]["outcome"] == "created"
    assert await count(api, "accounts") == 2


REFUSED: list[tuple[Any, int, str]] = [
    ({"opportunity": {"amount": {"value": "1.00", "currency": "XXQ"}}}, 422, "request_invalid"),
    ({"opportunity": {"amount": {"value": "-1.00", "currency": "EUR"}}}, 422, "request_invalid"),
    ({"opportunity": {"close_date": "2027-02-30"}}, 422, "request_invalid"),
    ({"opportunity": {"class": "unqualified"}}, 422, "class_not_allowed"),
    ({"account": {"mode": "use"}}, 422, "request_invalid"),
    ({"account": {"mode": "create", "id": "acc_01k00000000000000000000000"}}, 422, "request_invalid"),
    ({"contact": {"mode": "use", "id": "con_01k00000000000000000000000"}}, 404, "contact_not_found"),
    ({"opportunity": {"mode": "use", "id": "opp_01k00000000000000000000000"}}, 404, "opportunity_not_found"),
    ({"owner_id": "usr_01k00000000000000000000000"}, 422, "owner_invalid"),
    ({"verification": {"by": "usr_01k00000000000000000000000"}}, 422, "owner_invalid"),
    ({"stage": "converted"}, 422, "request_invalid"),
    ({"account": {"values": {"domain": "gmail.com"}}}, 422, "request_invalid"),
]


UNUSED: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"opportunity": {"mode": "none", "amount": {"value": "1.00", "currency": "EUR"}, "class": "qualified"}},
        ["opportunity.amount", "opportunity.class"],
    ),
    ({"opportunity": {"mode": "none", "name": "a"}}, ["opportunity.name"]),
    ({"opportunity": {"mode": "none", "close_date": "2027-01-31"}}, ["opportunity.close_date"]),
    ({"opportunity": {"mode": "none", "owner_id": "usr_01k00000000000000000000000"}}, ["opportunity.owner_id"]),
    (
        {"opportunity": {"mode": "use", "id": "opp_01k00000000000000000000000", "business": "new"}},
        ["opportunity.business"],
    ),
    (
        {"account": {"mode": "none", "values": {"name": "Nord"}, "overwrite": ["name"]}},
        ["account.values", "account.overwrite"],
    ),
    ({"account": {"mode": "create", "overwrite": ["name"]}}, ["account.overwrite"]),
    ({"contact": {"mode": "create", "overwrite": ["email"], "relink": True}}, ["contact.overwrite", "contact.relink"]),
]


@pytest.mark.parametrize(("order", "fields"), UNUSED, ids=lambda one: str(one)[:60])
async def test_what_a_mode_does_not_use_is_refused_by_name(
    api: Api, ae: str, order: dict[str, Any], fields: list[str]
) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    told = (await refused(api, lead, ae, order))["errors"]
    assert [(one["field"], one["code"]) for one in told] == [(field, "not_with_mode") for field in fields]
    batch = {"items": [{"lead_id": lead["id"], **order}], "atomic": True}
    answer = await api.call("POST", "/v1/conversions/batch", batch, actor=ae, headers={"Idempotency-Key": "b"})
    assert [one["field"] for one in answer.json()["errors"]] == [f"items.0.{field}" for field in fields]


async def test_members_that_say_nothing_go_with_each_mode(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    order = {"account": {"mode": "none", "values": {}}, "opportunity": {"mode": "none", "amount": None}}
    made = await converted(api, lead, ae, order)
    assert [made[part]["outcome"] for part in ("account", "opportunity")] == ["none", "none"]


async def test_a_refused_conversion_writes_nothing(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    for order, status, code in REFUSED:
        problem = await refused(api, lead, ae, order)
        assert (problem["status"], problem["code"]) == (status, code), order
        if status == 404:
            assert [one["field"] for one in problem["errors"]] == [f"{next(iter(order))}.id"]
    assert (await api.reload(lead))["stage"] == "sql"


async def test_a_caller_who_may_not_convert_writes_nothing(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    marketing = await api.user("marketing")
    machine = await refused(api, lead, None)
    person = await refused(api, lead, marketing)
    assert (machine["status"], machine["code"]) == (403, "human_required")
    assert (person["status"], person["code"]) == (403, "role_not_allowed")
    stale = await refused(api, lead, ae, headers={"If-Match": '"1"'})
    assert (stale["status"], stale["code"]) == (412, "version_conflict")
    early = await refused(api, await api.lead(), ae)
    assert (early["status"], early["code"], "allowed_actions" in early) == (409, "transition_not_allowed", True)


async def test_a_closed_opportunity_and_one_of_another_account_cannot_be_used(api: Api, ae: str) -> None:
    first = await converted(api, await sql_lead(api, ae, **ANNA), ae)
    opportunity_id = first["opportunity"]["id"]
    elsewhere = await sql_lead(api, ae, email="x@elsewhere.ro", company="Elsewhere")
    problem = await refused(api, elsewhere, ae, {"opportunity": {"mode": "use", "id": opportunity_id}})
    assert (problem["status"], problem["code"]) == (422, "target_unavailable")
    await api.post(
        f"/v1/opportunities/{opportunity_id}/transitions", {"action": "lose", "reason_code": "price"}, actor=ae
    )
    colleague = await sql_lead(api, ae, email="dan@nordsoft.ro", company="Nordsoft")
    problem = await refused(api, colleague, ae, {"opportunity": {"mode": "use", "id": opportunity_id}})
    assert problem["code"] == "target_unavailable"


async def test_a_caller_who_may_not_read_leads_gets_only_the_number_of_candidates(api: Api, ae: str) -> None:
    await api.post("/v1/accounts", {"name": "Nordsoft", "country": "RO"})
    lead = await sql_lead(api, ae, **ANNA)
    made = await api.post("/v1/keys", {"name": "converter", "scopes": ["leads:convert", "actors:assert"]})
    problem = (await convert(api, lead, ae, key="hidden", headers={})).json()
    without_read = await api.call(
        "POST",
        f"/v1/leads/{lead['id']}/conversion",
        {},
        actor=ae,
        key=made["secret"],
        headers={"Idempotency-Key": "without_read"},
    )
    assert (len(problem["candidates"]), problem["candidates_hidden"]) == (1, 0)
    assert (without_read.status_code, without_read.json()["candidates"], without_read.json()["candidates_hidden"]) == (
        409,
        [],
        1,
    )


async def test_a_preview_shows_what_would_be_created_and_writes_nothing(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"})
    lead = await sql_lead(api, ae, **ANNA)
    before = await all_rows(api)
    seen = await preview(api, lead, ae)
    assert await all_rows(api) == before
    assert (seen["possible"], seen["blocked"]) == (True, [])
    assert seen["account"] == {"outcome": "linked", "id": account["id"]}
    assert seen["contact"] == {"outcome": "created", "id": None}
    assert (seen["opportunity"]["outcome"], seen["opportunity"]["class"]) == ("created", "qualified")
    made = await converted(api, lead, ae)
    assert made["field_outcomes"] == seen["field_outcomes"]


async def test_a_preview_lists_every_problem(api: Api, ae: str) -> None:
    await api.post("/v1/accounts", {"name": "Nordsoft", "country": "RO"})
    lead = await sql_lead(api, ae, **ANNA)
    order = {"opportunity": {"class": "unqualified"}, "owner_id": "usr_01k00000000000000000000000"}
    seen = await preview(api, lead, None, order)
    assert not seen["possible"]
    assert [each["code"] for each in seen["blocked"]] == [
        "human_required",
        "ambiguous_match",
        "class_not_allowed",
        "owner_invalid",
    ]
    assert len(seen["account"]["candidates"]) == 1
    assert seen["account"]["outcome"] is None
    await converted(api, lead, ae, {"account": {"mode": "create"}})
    again = await preview(api, lead, ae)
    assert again["blocked"][0]["code"] == "lead_already_converted"
    assert again["blocked"][0]["conversion"]["lead_id"] == lead["id"]


async def test_an_early_stage_can_be_previewed(api: Api, ae: str) -> None:
    lead = await api.lead(email="x@y.example")
    seen = await preview(api, lead, ae)
    assert [each["code"] for each in seen["blocked"]] == ["transition_not_allowed"]
    unknown = await api.call("POST", "/v1/leads/lead_01k00000000000000000000000/conversion/preview", {}, actor=ae)
    assert unknown.status_code == 404


async def test_a_disqualified_lead_cannot_be_converted(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    await moved(api, lead, "disqualify", ae, reason_code="bad_fit")
    problem = await refused(api, lead, ae)
    assert problem["code"] == "transition_not_allowed"
