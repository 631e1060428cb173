"""A conversion taken back: what is archived, what is emptied, what stays and why, and where the journey stands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, all_rows, converted, events, moved, mql, sql_lead, srl_lead
from tests.journeys.test_time import pass_time
from tests.merging.steps import faults
from tests.rules.make import WATERFALL, altered

ANNA: dict[str, Any] = {
    "email": "anna@nordsoft.ro",
    "full_name": "Anna Zvoristeanu",
    "company": "Nordsoft",
    "phone": "+40 21 555 0100",
}
NORDSOFT = {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"}
KINDS = ("account", "contact", "opportunity")
PLURAL = {"account": "accounts", "contact": "contacts", "opportunity": "opportunities"}


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


@pytest.fixture
async def manager(api: Api) -> str:
    return await api.user("manager")


async def ask(api: Api, lead: dict[str, Any], actor: str | None, query: str = "", **members: Any) -> Any:
    body = {"reason_code": "mistake", **members}
    return await api.call("POST", f"/v1/leads/{lead['id']}/conversion/revert{query}", body, actor=actor)


async def reverted(api: Api, lead: dict[str, Any], manager: str, query: str = "", **members: Any) -> dict[str, Any]:
    answer = await ask(api, lead, manager, query, **members)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def previewed(api: Api, lead: dict[str, Any], actor: str | None, query: str = "", **members: Any) -> Any:
    path = f"/v1/leads/{lead['id']}/conversion/revert/preview{query}"
    return await api.post(path, {"reason_code": "mistake", **members}, status=200, actor=actor)


async def record(api: Api, made: dict[str, Any], kind: str) -> dict[str, Any]:
    return dict(await api.get(f"/v1/{PLURAL[kind]}/{made[kind]['id']}"))


async def live(api: Api, made: dict[str, Any]) -> list[str]:
    """The records of a conversion that are not archived."""
    return [kind for kind in KINDS if made[kind]["id"] and (await record(api, made, kind))["archived_at"] is None]


def whys(done: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["type"], one["why"]) for one in done["left_in_place"]]


async def test_14_undo(pipeline_api: Api) -> None:
    """Scenario 14: the account existed, and got the phone by the conversion."""
    api = pipeline_api
    sdr, manager = await api.user("sdr"), await api.user("manager")
    account = await api.post("/v1/accounts", NORDSOFT)
    lead = await srl_lead(api, sdr, **ANNA)
    made = await converted(api, lead, sdr)
    done = await reverted(api, lead, manager)
    assert [one["type"] for one in done["archived"]] == ["opportunity", "contact"]
    assert (done["left_in_place"], await live(api, made)) == ([], ["account"])
    after = await api.get(f"/v1/accounts/{account['id']}")
    changed = {"phone", "version", "updated_at"}
    assert {name: after[name] for name in after if name not in changed} == {
        name: account[name] for name in account if name not in changed
    }
    assert after["phone"] is None
    assert done["emptied"][0]["type"] == "account"
    assert "phone" in done["emptied"][0]["fields"]
    shown = await api.reload(lead)
    assert (shown["stage"], shown["links"]) == ("srl", lead["links"])
    assert (await api.steps(lead))[-2:] == [("srl", "converted"), ("converted", "srl")]
    read = await api.get(f"/v1/leads/{lead['id']}/conversion")
    assert read["conversion"] == done["conversion"]
    assert done["conversion"]["reverted_at"] is not None
    assert await faults(api) == []


async def test_a_conversion_by_hand_over_goes_back_to_the_stage_before_both_transitions(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, manager = await api.user("sdr"), await api.user("manager")
    for skips in (False, True):
        lead = await mql(api, email=f"a{skips}@nordsoft.ro")
        if not skips:
            await moved(api, lead, "accept", sdr)
        before = "mql" if skips else "sal"
        answer = await api.call(
            "POST",
            f"/v1/leads/{lead['id']}/transitions",
            {"action": "hand_over", "bant": BANT},
            actor=sdr,
            headers={"Idempotency-Key": f"hand-over-{skips}"},
        )
        assert answer.json()["lead"]["stage"] == "converted", answer.text
        eligible = (await api.get(f"/v1/leads/{lead['id']}/eligibility", actor=manager))["actions"]
        assert next(one for one in eligible if one["action"] == "revert_conversion")["to"] == before
        done = await reverted(api, lead, manager)
        assert done["lead"]["stage"] == before
        (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
        counting = {one["name"] for one in journey["milestones"] if not one["voided"]}
        assert counting == ({"mql"} if skips else {"mql", "sal"})
        assert journey["closed_at"] is None
    assert await faults(api) == []


async def test_the_event_tells_what_became_of_the_conversion(api: Api, ae: str, manager: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    await converted(api, lead, ae)
    done = await reverted(api, lead, manager)
    told = [one for one in await events(api, lead) if one.type in ("lead.conversion_reverted", "opportunity.updated")]
    assert [one.type for one in told] == ["lead.conversion_reverted", "opportunity.updated"]
    assert told[0].lead_version == done["lead"]["version"]
    undone = ("conversion", "archived", "emptied", "left_in_place")
    assert {name: told[0].data[name] for name in undone} == {name: done[name] for name in undone}
    assert told[1].data["changed"] == ["archived_at"]


async def test_a_preview_says_what_the_revert_then_does_and_writes_nothing(api: Api, ae: str, manager: str) -> None:
    await api.post("/v1/accounts", NORDSOFT)
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    await api.call("PATCH", f"/v1/accounts/{made['account']['id']}", {"phone": "+40 21 555 0199"})
    before = await all_rows(api)
    shown = await previewed(api, lead, manager)
    assert await all_rows(api) == before
    assert (shown["possible"], shown["blocked"], shown["to"], shown["voids"]) == (True, [], "sql", [])
    done = await reverted(api, lead, manager)
    assert {name: shown[name] for name in ("archived", "emptied", "left_in_place")} == {
        name: done[name] for name in ("archived", "emptied", "left_in_place")
    }
    assert done["left_in_place"][0]["fields"] == ["phone"]


async def test_converting_again_links_what_lived_on_and_makes_the_rest_anew(api: Api, ae: str, manager: str) -> None:
    await api.post("/v1/accounts", NORDSOFT)
    lead = await sql_lead(api, ae, **ANNA)
    first = await converted(api, lead, ae)
    await reverted(api, lead, manager)
    again = await converted(api, lead, ae)
    assert again["account"] == first["account"] == {"id": first["account"]["id"], "outcome": "linked"}
    assert [again[kind]["outcome"] for kind in ("contact", "opportunity")] == ["created", "created"]
    assert (await record(api, again, "account"))["phone"] == "+40215550100"
    assert (await api.get(f"/v1/leads/{lead['id']}/conversion"))["conversion"] == again
    await reverted(api, lead, manager)
    assert (await live(api, first), await live(api, again)) == (["account"], ["account"])
    assert await faults(api) == []


async def test_the_revert_is_done_once_under_its_key_and_refused_a_second_time(api: Api, ae: str, manager: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    await converted(api, lead, ae)
    path, headers = f"/v1/leads/{lead['id']}/conversion/revert", {"Idempotency-Key": "undo"}
    first, again = [
        await api.call("POST", path, {"reason_code": "mistake"}, actor=manager, headers=headers) for _ in range(2)
    ]
    assert (first.status_code, again.content, again.headers["idempotency-replayed"]) == (200, first.content, "true")
    second, done = (await ask(api, lead, manager)).json(), first.json()["conversion"]
    assert (second["status"], second["code"]) == (409, "conversion_reverted")
    assert (second["conversion_id"], second["reverted_at"]) == (done["id"], done["reverted_at"])
    assert done["reverted_at"] in second["detail"]
    shown = await api.post(f"{path}/preview", {"reason_code": "mistake"}, status=200, actor=manager)
    assert [one["code"] for one in shown["blocked"]] == ["conversion_reverted"]
    fresh = await sql_lead(api, ae, email="dan@other.example")
    assert (await ask(api, fresh, manager)).json()["code"] == "transition_not_allowed"
    anew = await converted(api, lead, ae)
    assert (await ask(api, lead, manager)).json()["conversion"]["id"] == anew["id"]


@pytest.mark.parametrize(
    ("role", "members", "refusal"),
    [
        ("sdr", {}, (403, "role_not_allowed")),
        ("ae", {}, (403, "role_not_allowed")),
        ("marketing", {}, (403, "role_not_allowed")),
        (None, {}, (403, "human_required")),
        ("manager", {"reason_code": None}, (422, "reason_required")),
        ("manager", {"reason_code": "regret"}, (422, "unknown_reason")),
        ("manager", {"reason_code": "other"}, (422, "input_required")),
        ("manager", {"occurred_at": "2020-01-01T00:00:00Z"}, (422, "out_of_order")),
    ],
)
async def test_a_revert_that_is_refused_says_why_beforehand_too_and_writes_nothing(
    api: Api, ae: str, role: str | None, members: dict[str, Any], refusal: tuple[int, str]
) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    await converted(api, lead, ae)
    actor = await api.user(role) if role else None
    before = await all_rows(api)
    answer = await ask(api, lead, actor, **members)
    assert (answer.status_code, answer.json()["code"]) == refusal
    shown = await previewed(api, lead, actor, **members)
    assert (shown["possible"], [(one["status"], one["code"]) for one in shown["blocked"]]) == (False, [refusal])
    assert await all_rows(api) == before


@pytest.mark.parametrize("stage", ["inquiry", "mql", "sql", "disqualified"])
async def test_a_lead_that_is_not_converted_has_nothing_to_revert(api: Api, ae: str, manager: str, stage: str) -> None:
    lead = await api.lead() if stage == "inquiry" else await (mql(api) if stage == "mql" else sql_lead(api, ae))
    if stage == "disqualified":
        await moved(api, lead, "disqualify", manager, reason_code="no_need")
    answer = await ask(api, lead, manager)
    assert (answer.status_code, answer.json()["code"]) == (409, "transition_not_allowed")
    shown = await previewed(api, lead, manager)
    assert (shown["possible"], shown["blocked"][0]["code"]) == (False, "transition_not_allowed")
    assert (shown["archived"], shown["emptied"], shown["left_in_place"], shown["to"]) == ([], [], [], None)


def within(days: int, guard: Any) -> Any:
    def change(policy: dict[str, Any]) -> None:
        policy["conversion"]["revert_days"] = days
        next(one for one in policy["actions"] if one["name"] == "revert_conversion")["guard"] = guard

    return altered(WATERFALL, change)


@pytest.mark.parametrize(
    ("days", "guarded", "passed", "possible"),
    [
        (14, True, 13.9, True),
        (14, True, 14.1, False),
        (14, False, 13.9, True),
        (14, False, 14.1, False),
        (3, True, 2.9, True),
        (3, True, 3.1, False),
        (30, False, 29.9, True),
        (30, False, 30.1, False),
    ],
)
async def test_a_conversion_is_reverted_within_the_days_of_the_policy(
    api: Api, ae: str, manager: str, days: int, guarded: bool, passed: float, possible: bool
) -> None:
    await api.publish(within(days, {"closed_for": {"at_most_days": 14}} if guarded else None))
    lead = await sql_lead(api, ae, **ANNA)
    await converted(api, lead, ae)
    await pass_time(api, passed)
    (eligible,) = [
        one
        for one in (await api.get(f"/v1/leads/{lead['id']}/eligibility", actor=manager))["actions"]
        if one["action"] == "revert_conversion"
    ]
    answer = await ask(api, lead, manager)
    assert (eligible["allowed"], answer.status_code) == (possible, 200 if possible else 422)
    if not possible:
        (unmet,) = answer.json()["unmet"]
        assert (unmet["criterion"], unmet["need"], eligible["unmet"]) == ("closed_for", days, [unmet])


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("end", [{"action": "win"}, {"action": "lose", "reason_code": "price"}])
async def test_a_conversion_whose_opportunity_is_won_or_lost_is_not_reverted(
    api: Api, ae: str, manager: str, end: dict[str, Any], guarded: bool
) -> None:
    await api.publish(within(14, {"opportunity_class": {"not_in": ["won", "lost"]}} if guarded else None))
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    done = await api.call("POST", f"/v1/opportunities/{made['opportunity']['id']}/transitions", end, actor=ae)
    assert done.status_code == 201, done.text
    answer = await ask(api, lead, manager)
    assert (answer.status_code, answer.json()["code"]) == (422, "criteria_unmet")
    assert [one["criterion"] for one in answer.json()["unmet"]] == ["opportunity_class"]


async def change_account(api: Api, made: dict[str, Any], ae: str) -> None:
    await patch(api, f"/v1/accounts/{made['account']['id']}", {"industry": "Steel"})


async def change_contact(api: Api, made: dict[str, Any], ae: str) -> None:
    await patch(api, f"/v1/contacts/{made['contact']['id']}", {"job_title": "CEO"})


async def change_opportunity(api: Api, made: dict[str, Any], ae: str) -> None:
    await patch(api, f"/v1/opportunities/{made['opportunity']['id']}", {"name": "Nordsoft 2027"})


async def advance_opportunity(api: Api, made: dict[str, Any], ae: str) -> None:
    body = {"action": "advance", "to": "proposal"}
    await api.post(f"/v1/opportunities/{made['opportunity']['id']}/transitions", body, actor=ae)


async def add_contact(api: Api, made: dict[str, Any], ae: str) -> None:
    await api.post("/v1/contacts", {"email": "dan@nordsoft.ro", "account_id": made["account"]["id"]})


async def add_opportunity_to_account(api: Api, made: dict[str, Any], ae: str) -> None:
    await api.post("/v1/opportunities", {"name": "Renewal", "account_id": made["account"]["id"]})


async def add_opportunity_to_contact(api: Api, made: dict[str, Any], ae: str) -> None:
    await api.post("/v1/opportunities", {"name": "Renewal", "contact_id": made["contact"]["id"]})


async def convert_colleague(api: Api, made: dict[str, Any], ae: str) -> None:
    lead = await sql_lead(api, ae, email="dan@nordsoft.ro", company="Nordsoft")
    order = {"account": {"mode": "use", "id": made["account"]["id"]}, "opportunity": {"mode": "none"}}
    await converted(api, lead, ae, order)


async def convert_to_the_opportunity(api: Api, made: dict[str, Any], ae: str) -> None:
    lead = await sql_lead(api, ae, email="dan@other.example")
    order = {"account": {"mode": "none"}, "opportunity": {"mode": "use", "id": made["opportunity"]["id"]}}
    await converted(api, lead, ae, order)


async def archive_opportunity(api: Api, made: dict[str, Any], ae: str) -> None:
    await patch(api, f"/v1/opportunities/{made['opportunity']['id']}", {"archived": True})


async def add_archived_contact(api: Api, made: dict[str, Any], ae: str) -> None:
    body = {"email": "dan@nordsoft.ro", "account_id": made["account"]["id"]}
    contact = await api.post("/v1/contacts", body)
    await patch(api, f"/v1/contacts/{contact['id']}", {"archived": True})


async def patch(api: Api, path: str, body: dict[str, Any]) -> None:
    answer = await api.call("PATCH", path, body)
    assert answer.status_code == 200, answer.text


ACCOUNT, CONTACT, OPPORTUNITY = KINDS
TOUCHED: Any = [
    (change_account, [(ACCOUNT, "changed_since")]),
    (change_contact, [(CONTACT, "changed_since"), (ACCOUNT, "has_other_contact")]),
    (
        change_opportunity,
        [(OPPORTUNITY, "changed_since"), (CONTACT, "has_other_opportunity"), (ACCOUNT, "has_other_contact")],
    ),
    (
        advance_opportunity,
        [(OPPORTUNITY, "changed_since"), (CONTACT, "has_other_opportunity"), (ACCOUNT, "has_other_contact")],
    ),
    (add_contact, [(ACCOUNT, "has_other_contact")]),
    (add_opportunity_to_account, [(ACCOUNT, "has_other_opportunity")]),
    (add_opportunity_to_contact, [(CONTACT, "has_other_opportunity"), (ACCOUNT, "has_other_contact")]),
    (convert_colleague, [(ACCOUNT, "has_other_contact")]),
    (
        convert_to_the_opportunity,
        [(OPPORTUNITY, "has_other_lead"), (CONTACT, "has_other_opportunity"), (ACCOUNT, "has_other_contact")],
    ),
    (archive_opportunity, []),
    (add_archived_contact, []),
]


@pytest.mark.parametrize(("touch", "left"), TOUCHED)
async def test_what_others_changed_or_use_is_left_with_why_and_a_strict_revert_refuses(
    api: Api, ae: str, manager: str, touch: Any, left: list[tuple[str, str]]
) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    await touch(api, made, ae)
    before = await all_rows(api)
    if left:
        answer = await ask(api, lead, manager, "?strict=true")
        assert (answer.status_code, answer.json()["code"]) == (409, "revert_blocked")
        assert whys(answer.json()) == left
        blocked = (await previewed(api, lead, manager, "?strict=true"))["blocked"]
        assert [(one["code"], whys(one)) for one in blocked] == [("revert_blocked", left)]
        assert await all_rows(api) == before
    done = await reverted(api, lead, manager, "" if left else "?strict=true")
    assert whys(done) == left
    assert set(await live(api, made)) == {kind for kind, _ in left}
    assert done["lead"]["links"] == lead["links"]
    assert await faults(api) == []


@pytest.mark.parametrize("touch", [None, change_opportunity])
async def test_an_opportunity_that_the_conversion_used_stays_as_it_is(
    api: Api, ae: str, manager: str, touch: Any
) -> None:
    used = await api.post("/v1/opportunities", {"name": "Renewal"})
    lead = await sql_lead(api, ae, email="dan@other.example")
    order = {"account": {"mode": "none"}, "opportunity": {"mode": "use", "id": used["id"]}}
    made = await converted(api, lead, ae, order)
    if touch is not None:
        await touch(api, made, ae)
    before = await record(api, made, "opportunity")
    preview = await previewed(api, lead, manager, "?strict=true")
    done = await reverted(api, lead, manager, "?strict=true")
    foreseen = {name: preview[name] for name in ("archived", "emptied", "left_in_place")}
    assert (preview["possible"], foreseen) == (True, {name: done[name] for name in foreseen})
    assert (await record(api, made, "opportunity"), [one["type"] for one in done["archived"]]) == (before, ["contact"])
    assert done["lead"]["links"] == {"account_id": None, "contact_id": None, "opportunity_id": None}


async def test_an_opportunity_that_was_left_reaches_nothing_for_the_journey_that_goes_on_without_it(
    pipeline_api: Api,
) -> None:
    api = pipeline_api
    sdr, ae, manager = await api.user("sdr"), await api.user("ae"), await api.user("manager")
    lead = await srl_lead(api, sdr, **ANNA)
    made = await converted(api, lead, sdr)
    await change_opportunity(api, made, ae)
    await reverted(api, lead, manager)
    path = f"/v1/opportunities/{made['opportunity']['id']}/transitions"
    for body in ({"action": "qualify", "bant": BANT}, {"action": "win"}):
        await api.post(path, body, actor=ae)
    (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert (journey["stage"], [one["name"] for one in journey["milestones"]]) == ("srl", ["mql", "sal", "srl"])
    again = await converted(api, lead, sdr, {"opportunity": {"mode": "create"}})
    await api.post(
        f"/v1/opportunities/{again['opportunity']['id']}/transitions", {"action": "qualify", "bant": BANT}, actor=ae
    )
    (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert [one["name"] for one in journey["milestones"]] == ["mql", "sal", "srl", "sql"]
    assert await faults(api) == []
