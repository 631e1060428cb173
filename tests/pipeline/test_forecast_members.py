"""What forecasts count of an opportunity: category, probability, slipped, its history, and reopening."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from alembic import command
from sqlalchemy import text

from app.database import migrate
from app.journeys.verify import verify
from app.pipeline.schemas import OpenCategory
from tests.api import Api
from tests.conversion.steps import BANT, converted, moved, mql, rows, sql_lead
from tests.pipeline.test_advance import ANNA, reached, step

CATEGORIES = get_args(OpenCategory)
AMOUNT = {"value": "900.00", "currency": "EUR"}


async def qualified(api: Api, ae: str, **members: Any) -> str:
    """A qualified opportunity without a lead, owned by this user; its id."""
    made = await api.post("/v1/opportunities", {"name": "Renewal", "owner_id": ae, **members})
    assert (await step(api, made["id"], ae, action="qualify", bant=BANT)).status_code == 201
    return str(made["id"])


async def patch(api: Api, opportunity: str, actor: str | None = None, **members: Any) -> Any:
    return await api.call("PATCH", f"/v1/opportunities/{opportunity}", members, actor=actor)


async def shown(api: Api, opportunity: str) -> dict[str, Any]:
    return dict(await api.get(f"/v1/opportunities/{opportunity}"))


async def test_each_stage_brings_its_category_and_probability(api: Api) -> None:
    ae = await api.user("ae")
    opportunity = await qualified(api, ae)
    found = [await shown(api, opportunity)]
    for to in ("proposal", "negotiation"):
        await step(api, opportunity, ae, action="advance", to=to)
        found.append(await shown(api, opportunity))
    await step(api, opportunity, ae, action="win")
    found.append(await shown(api, opportunity))
    assert [(one["stage"], one["forecast_category"], one["probability"]) for one in found] == [
        ("qualified", "pipeline", 30),
        ("proposal", "upside", 50),
        ("negotiation", "commit", 70),
        ("won", "closed", 100),
    ]
    history = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"]
    assert [one["forecast_category"] for one in history] == ["omitted", "pipeline", "upside", "commit", "closed"]


@pytest.mark.parametrize("category", CATEGORIES)
async def test_its_owner_and_managers_choose_the_category_of_an_open_opportunity(api: Api, category: str) -> None:
    ae, other, manager, admin = [await api.user(role) for role in ("ae", "ae", "manager", "admin")]
    opportunity = await qualified(api, ae)
    for actor, code in ((None, "human_required"), (other, "role_not_allowed")):
        refused = await patch(api, opportunity, actor, forecast_category=category)
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    for actor in (ae, manager, admin):
        assert (await patch(api, opportunity, actor, forecast_category=category)).json()[
            "forecast_category"
        ] == category
        reset = await patch(api, opportunity, actor, forecast_category=None)
        assert reset.json()["forecast_category"] == "pipeline", "null stands for the category of the stage"
    await patch(api, opportunity, ae, forecast_category=category)
    await step(api, opportunity, ae, action="advance", to="negotiation")
    assert (await shown(api, opportunity))["forecast_category"] == "commit", "a choice ends with the stage"


async def test_a_closed_opportunity_and_the_category_closed_cannot_be_chosen(api: Api) -> None:
    ae = await api.user("ae")
    opportunity = await qualified(api, ae)
    wrong = await patch(api, opportunity, ae, forecast_category="closed")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "forecast_category")
    await step(api, opportunity, ae, action="win")
    closed = await patch(api, opportunity, ae, forecast_category="commit")
    assert (closed.status_code, closed.json()["errors"][0]["code"]) == (422, "opportunity_closed")


async def test_each_change_is_a_row_of_the_history_and_an_event(api: Api) -> None:
    ae, other = await api.user("ae"), await api.user("ae")
    opportunity = await qualified(api, ae)
    changes: list[dict[str, Any]] = [
        {"amount": AMOUNT},
        {"amount": {"value": "900.00", "currency": "USD"}},
        {"close_date": "2026-12-31"},
        {"forecast_category": "commit"},
        {"owner_id": other},
        {"business": "new"},
        {"archived": True},
        {"archived": False},
        {"amount": None, "close_date": None},
    ]
    for change in changes:
        assert (await patch(api, opportunity, ae, **change)).status_code == 200
    named = [["archived_at" if name == "archived" else name for name in sorted(change)] for change in changes]
    history = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"]
    assert [one["changed"] for one in history[2:]] == named
    assert [one["version"] for one in history] == list(range(1, len(changes) + 3))
    events = await rows(
        api, "SELECT type, data::jsonb AS data FROM events WHERE type LIKE 'opportunity.%' ORDER BY seq"
    )
    assert [one.data["version"] for one in events] == [one["version"] for one in history]
    assert [one.data["changed"] for one in events if one.type == "opportunity.updated"] == named
    state = ("amount", "close_date", "owner_id", "forecast_category", "probability", "business", "archived_at")
    for event, row in zip(events, history, strict=True):
        assert {name: event.data[name] for name in state} == {name: row[name] for name in state}
        assert (event.data["occurred_at"], event.data["recorded_at"]) == (row["occurred_at"], row["recorded_at"])
    await patch(api, opportunity, ae, name="Another name")
    await patch(api, opportunity, ae, business="new")
    again = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"]
    assert again == history, "a name is no part of a forecast, and a change to the same value is none"


async def test_the_history_has_both_times_of_a_step_that_is_told_late(api: Api) -> None:
    ae = await api.user("ae")
    made = await api.post("/v1/opportunities", {"name": "Old", "owner_id": ae, "occurred_at": api.ago(days=9)})
    won_at = api.ago(days=2)
    await step(api, made["id"], ae, action="qualify", bant=BANT, occurred_at=api.ago(days=5))
    await step(api, made["id"], ae, action="win", occurred_at=won_at)
    history = (await api.get(f"/v1/opportunities/{made['id']}/history"))["data"]
    assert history[-1]["occurred_at"] == won_at < history[-1]["recorded_at"]
    assert history[0]["occurred_at"] == made["stage_entered_at"] < history[0]["recorded_at"]


async def test_the_opportunity_of_a_conversion_has_a_history_and_what_forecasts_count(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    order = {"opportunity": {"amount": AMOUNT, "close_date": "2026-12-31", "owner_id": ae}}
    opportunity = (await converted(api, lead, ae, order))["opportunity"]["id"]
    one = await shown(api, opportunity)
    assert (one["forecast_category"], one["probability"], one["amount"]) == ("pipeline", 30, AMOUNT)
    history = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"]
    found = await rows(api, "SELECT data::jsonb AS data FROM events WHERE type = 'opportunity.stage_changed'")
    for members in (history[0], found[0].data):
        assert (members["version"], members["amount"], members["owner_id"]) == (1, AMOUNT, ae)
        assert (members["forecast_category"], members["close_date"]) == ("pipeline", "2026-12-31")


async def test_handing_over_tells_of_each_opportunity(api: Api) -> None:
    ae, other = await api.user("ae"), await api.user("ae")
    deals = {await qualified(api, ae) for _ in range(3)}
    await api.call("PATCH", f"/v1/users/{ae}", {"active": False, "hand_to": other})
    events = await rows(api, "SELECT data::jsonb AS data FROM events WHERE type = 'opportunity.updated'")
    assert {one.data["opportunity_id"] for one in events} == deals
    assert {(one.data["before"]["owner_id"], one.data["owner_id"]) for one in events} == {(ae, other)}
    for deal in deals:
        assert (await api.get(f"/v1/opportunities/{deal}/history"))["data"][-1]["changed"] == ["owner_id"]


@pytest.mark.parametrize(
    ("zone", "slips"), [("Pacific/Kiritimati", True), ("UTC", False), ("Pacific/Pago_Pago", False)]
)
async def test_an_open_opportunity_slips_when_its_close_date_is_past_where_the_tenant_is(
    api: Api, zone: str, slips: bool
) -> None:
    ae = await api.user("ae")
    await api.call("PUT", "/v1/calendar", {"time_zone": zone})
    api.clock.ahead += api.now.replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(days=1) - api.now
    today = api.now.date()
    deals = [await qualified(api, ae, close_date=str(today + timedelta(days=n))) for n in (-1, 0, 1)]
    late = await qualified(api, ae, close_date=str(today - timedelta(days=40)))
    undated = await qualified(api, ae)
    won = await qualified(api, ae, close_date=str(today - timedelta(days=40)))
    await step(api, won, ae, action="win")
    yesterday_slips = zone != "Pacific/Pago_Pago"
    expected = {late: True, deals[0]: yesterday_slips, deals[1]: slips, deals[2]: False, undated: False, won: False}
    for deal, has_slipped in expected.items():
        assert (await shown(api, deal))["slipped"] is has_slipped
    for wanted in (True, False):
        listed = (await api.get(f"/v1/opportunities?slipped={str(wanted).lower()}"))["data"]
        assert {one["id"] for one in listed} == {deal for deal, found in expected.items() if found is wanted}


async def test_a_copy_from_before_an_opportunity_slipped_is_not_current(api: Api) -> None:
    ae = await api.user("ae")
    deal = await qualified(api, ae, close_date=str(api.now.date()))
    tag = (await api.call("GET", f"/v1/opportunities/{deal}")).headers["etag"]
    same = await api.call("GET", f"/v1/opportunities/{deal}", headers={"If-None-Match": tag})
    api.clock.ahead += timedelta(days=2)
    later = await api.call("GET", f"/v1/opportunities/{deal}", headers={"If-None-Match": tag})
    assert (same.status_code, later.status_code, later.json()["slipped"]) == (304, 200, True)
    changed = await api.call("PATCH", f"/v1/opportunities/{deal}", {"name": "N"}, headers={"If-Match": tag})
    assert changed.status_code == 200, "nothing but time has passed"


@pytest.mark.parametrize("closing", [{"action": "win"}, {"action": "lose", "reason_code": "price"}])
async def test_reopening_goes_back_to_the_stage_held_and_voids_the_milestone(api: Api, closing: dict[str, Any]) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    opportunity = (await converted(api, lead, ae))["opportunity"]["id"]
    await step(api, opportunity, ae, action="advance", to="proposal")
    await step(api, opportunity, ae, **closing)
    name = "won" if closing["action"] == "win" else "lost"
    assert (await reached(api, lead))[-1] == name
    no_reason = await step(api, opportunity, ae, action="reopen")
    machine = await step(api, opportunity, None, action="reopen", reason_code="mistake")
    assert [one.json()["code"] for one in (no_reason, machine)] == ["reason_required", "human_required"]
    done = await step(api, opportunity, ae, action="reopen", reason_code="mistake")
    assert done.status_code == 201, done.text
    again = done.json()["opportunity"]
    assert (again["stage"], again["class"], again["closing_reason"]) == ("proposal", "qualified", None)
    assert again["forecast_category"] == "upside"
    assert name not in await reached(api, lead)
    assert (await step(api, opportunity, ae, action="win")).status_code == 201
    assert (await reached(api, lead))[-1] == "won"
    assert [one async for one in verify(api.app.state.engine) if one.faults] == []


@pytest.mark.parametrize(("days", "status"), [(0, 201), (29, 201), (30, 201), (31, 422), (400, 422)])
async def test_reopening_is_possible_for_as_long_as_the_policy_says(api: Api, days: int, status: int) -> None:
    ae = await api.user("ae")
    opportunity = await qualified(api, ae)
    await step(api, opportunity, ae, action="win")
    api.clock.ahead += timedelta(days=days) - timedelta(seconds=60 if days == 30 else 0)
    answer = await step(api, opportunity, ae, action="reopen", reason_code="mistake")
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["unmet"][0]["criterion"] == "closed_for"


async def test_an_open_opportunity_is_not_reopened(api: Api) -> None:
    ae = await api.user("ae")
    opportunity = await qualified(api, ae)
    answer = await step(api, opportunity, ae, action="reopen", reason_code="mistake")
    assert (answer.status_code, answer.json()["code"]) == (409, "transition_not_allowed")


async def test_opportunities_from_before_the_migration_get_the_stages_of_their_past(pipeline_api: Api) -> None:
    api, engine = pipeline_api, pipeline_api.app.state.engine
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await mql(api, **ANNA)
    await moved(api, lead, "accept", sdr)
    answer = await moved(api, lead, "hand_over", sdr, bant=BANT, headers={"Idempotency-Key": "once"})
    opportunity = answer["conversion"]["opportunity"]["id"]
    await step(api, opportunity, ae, action="qualify", bant=BANT)
    await step(api, opportunity, ae, action="advance", to="negotiation")
    await patch(api, opportunity, ae, amount=AMOUNT)
    before = await shown(api, opportunity)
    async with engine.engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0037_forecast-1"))
    async with engine.connect() as tx:  # as a process of the release before writes
        await tx.execute(text("UPDATE policies SET document = document #- '{opportunity,stages,3,forecast_category}'"))
    await migrate.upgrade(api.app.state.settings.database_url)
    assert await shown(api, opportunity) == {**before, "forecast_category": "pipeline"}
    history = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"]
    assert [(one["version"], one["stage"], one["forecast_category"], one["probability"]) for one in history] == [
        (1, "unqualified", "omitted", 10),
        (2, "qualified", "pipeline", 30),
        (3, "negotiation", "pipeline", 70),
        (4, "negotiation", "pipeline", 70),
    ]


async def test_what_a_process_of_the_release_before_writes_is_kept(api: Api) -> None:
    ae = await api.user("ae")
    opportunity = await qualified(api, ae)
    async with api.app.state.engine.connect() as tx:
        await tx.execute(
            text("UPDATE opportunities SET stage = 'won', class = 'won', seq = seq + 1, version = version + 1")
        )
    one = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"][-1]
    assert (one["class"], one["forecast_category"], one["probability"]) == ("won", "closed", 100)
    assert (await shown(api, opportunity))["forecast_category"] == "closed"
