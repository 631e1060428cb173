"""Scenario 23 of lifecycle.md, section 11: a lower threshold against the active one, over what really happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from app.policy.document import Policy
from tests.api import Api
from tests.backtests.steps import backtest, draft, journeys
from tests.rules.make import WATERFALL, altered

YES: Final = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
SCORES: Final = {"L1": 90, "L2": 85, "L3": 82, "L4": 70, "L5": 65, "L6": 61, "L7": 40, "L8": 20}
WON, LOST, REJECTED = ("L1", "L4", "L7"), ("L2",), ("L3", "L5", "L6")


def threshold(points: int) -> Policy:
    """A policy that makes a lead with these points an MQL; an activity `score_90` has 90."""

    def change(document: dict[str, Any]) -> None:
        document["conditions"]["mql"] = {"engagement": {"at_least": points}}
        document["scoring"]["engagement"] = [
            {"id": f"score_{one}", "points": one, "type": f"score_{one}"} for one in SCORES.values()
        ]

    return altered(WATERFALL, change)


async def rows(api: Api) -> list[str]:
    """All rows of leads, journeys, transitions, milestones and events."""
    found: list[str] = []
    async with api.app.state.engine.connect() as tx:
        for table in ("leads", "journeys", "transitions", "milestones", "activities", "events", "lead_changes"):
            found += (await tx.execute(text(f"SELECT t::text FROM {table} t ORDER BY 1"))).scalars()
    return found


async def test_23_a_backtest_says_who_would_have_become_an_mql_and_which_deals_were_missed(api: Api) -> None:
    sdr, ae, marketing = await api.user("sdr"), await api.user("ae"), await api.user("marketing")
    await api.publish(threshold(80))
    leads: dict[str, Any] = {}

    async def ask(name: str, action: str, actor: str, **members: Any) -> None:
        answer = await api.ask(leads[name], action, actor, **members)
        assert answer.status_code == 201, answer.text

    for name, score in SCORES.items():
        leads[name] = await api.lead(company=f"Company {name}")
        api.clock.ahead += timedelta(hours=1)
        await api.add_activity(leads[name], f"score_{score}")
        is_mql = (await api.reload(leads[name]))["stage"] == "mql"
        assert is_mql == (score >= 80)
        api.clock.ahead += timedelta(hours=1)
        if name in REJECTED:
            await ask(name, "disqualify", sdr, reason_code="bad_fit")
        if name in WON + LOST:
            if not is_mql:
                await ask(name, "qualify", marketing, override_reason="sales knows them")
            await ask(name, "accept", sdr)
            await ask(name, "confirm", ae, bant=YES)
            path = f"/v1/leads/{leads[name]['id']}/conversion"
            made = await api.post(path, {}, actor=ae, headers={"Idempotency-Key": name})
            path = f"/v1/opportunities/{made['conversion']['opportunity']['id']}/transitions"
            end = {"action": "win"} if name in WON else {"action": "lose", "reason_code": "price"}
            await api.post(path, end, actor=ae)
    ids = {name: lead["id"] for name, lead in leads.items()}
    before = await rows(api)
    candidate = await draft(api, threshold(60))
    found = await backtest(api, candidate)
    assert await rows(api) == before, "a back-test changes no lead"
    active, lower = found["baseline"], found["candidate"]
    assert (active["mql"], lower["mql"]) == (3, 6)
    assert [side["recall"]["won"] for side in (active, lower)] == [
        {"value": 0.3333, "numerator": 1, "denominator": 3},
        {"value": 0.6667, "numerator": 2, "denominator": 3},
    ]
    assert set(active["missed_won"]) == {ids["L4"], ids["L7"]}
    assert set(lower["missed_won"]) == {ids["L7"]}
    assert set(lower["added"]) == {ids[name] for name in ("L4", "L5", "L6")}
    assert lower["removed"] == []
    assert [side["precision"]["won"]["value"] for side in (active, lower)] == [0.3333, 0.3333]
    assert [side["accepted_rate"]["value"] for side in (active, lower)] == [0.6667, 0.5]
    assert [(side["sql"], side["won"]) for side in (active, lower)] == [(2, 1), (3, 2)]
    assert [sum(week["mql"] for week in side["weekly_load"]) for side in (active, lower)] == [3, 6]
    assert [week["per_sdr"] for week in lower["weekly_load"]] == [week["mql"] for week in lower["weekly_load"]]
    added = await journeys(api, found["id"], "added")
    assert {one["lead_id"] for one in added} == set(lower["added"])
    by_lead = {one["lead_id"]: one for one in added}
    assert by_lead[ids["L5"]]["actual_at"] is None
    activity = (await api.get(f"/v1/leads/{ids['L5']}/activities"))["data"][0]
    assert by_lead[ids["L5"]]["candidate_at"] == activity["occurred_at"]
    for name in ("L5", "L8"):
        path = f"/v1/leads/{ids[name]}"
        assert (await api.call("PATCH", path, {"fields": {"industry": "software"}})).status_code == 200
    fields_later = altered(threshold(10), lambda document: document["conditions"].update(mql=SOFTWARE))
    later = await backtest(api, await draft(api, fields_later))
    reached = {one["lead_id"]: one["candidate_known_at"] for one in await journeys(api, later["id"], "candidate")}
    assert reached.keys() == {ids["L8"]}, "L5 was disqualified before the field was filled"
    filled = (await api.get(f"/v1/leads/{ids['L8']}"))["updated_at"]
    assert reached[ids["L8"]] == filled


SOFTWARE: Final = {"all": [{"engagement": {"at_least": 10}}, {"field": "industry", "in": ["software"]}]}
