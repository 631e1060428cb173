"""Random lives of leads: each breach is told once, the past stays what it was, and verify finds no fault."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.journeys.refresh import refresh_due
from app.journeys.verify import verify
from tests.api import Api
from tests.journeys.test_clocks import NINE_TO_SIX, set_calendar
from tests.journeys.test_overdue import going_stale
from tests.journeys.test_time import events_of_type
from tests.rules.make import POLICIES, altered
from tests.stories.test_pipeline import THREE

STEPS = 60
ACTIONS: dict[str, dict[str, Any]] = {
    "accept": {},
    "hand_over": {"bant": THREE, "conversion": False},
    "return": {"reason_code": "needs_info"},
    "confirm": {"bant": THREE},
    "recycle": {"reason_code": "timing"},
    "disqualify": {"reason_code": "no_need"},
    "reopen": {"reason_code": "mistake", "note": "it was not"},
}
SHOWN = ("sla", "stalled_since", "stage")


async def take_a_step(api: Api, chance: random.Random, people: dict[str, str], leads: list[dict[str, Any]]) -> None:
    """One thing that happens to one lead, or time that passes, with or without a worker."""
    lead, step = chance.choice(leads), chance.random()
    if step < 0.25:
        api.clock.ahead += timedelta(minutes=chance.choice([1, 30, 200, 300, 1500, 5000]))
        if chance.random() < 0.7:
            await refresh_due(api.app.state.engine, api.clock.now)
    elif step < 0.45:
        kind, type_ = chance.choice([("contact_attempt", "call"), ("interest", "demo_request")])
        await api.add_activity(lead, type_, kind=kind, occurred_at=api.ago(minutes=chance.choice([0, 5, 250, 2000])))
    elif step < 0.5:
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": chance.choice([people["sdr"], None])})
    else:
        action = chance.choice(list(ACTIONS))
        role = {"hand_over": "sdr", "confirm": "ae", "accept": "sdr"}.get(action, "manager")
        named = {"owner_id": people["ae"]} if action == "hand_over" else {}
        answer = await api.ask(lead, action, people[role], **ACTIONS[action], **named)
        assert answer.status_code in (201, 403, 409, 422), answer.text


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
async def test_each_breach_is_told_once_and_the_past_stays_what_it_was(api: Api, policy: str) -> None:
    chance = random.Random(policy)
    await api.publish(altered(POLICIES[policy], going_stale(2, "mql", "sal", "recycled")))
    await set_calendar(api, time_zone="Europe/Bucharest", working_hours=NINE_TO_SIX)
    people = {role: await api.user(role) for role in ("sdr", "manager")}
    people["ae"] = await api.user("ae", time_zone="America/New_York", working_hours={"tue": [["10:00", "15:00"]]})
    leads = [await api.mql() for _ in range(3)]
    seen: list[tuple[datetime, str, dict[str, Any]]] = []
    for _ in range(STEPS):
        await take_a_step(api, chance, people, leads)
        api.clock.ahead += timedelta(seconds=1)
        lead = await api.reload(chance.choice(leads))
        seen.append((api.now, lead["id"], {name: lead[name] for name in SHOWN}))
        api.clock.ahead += timedelta(seconds=1)
    api.clock.ahead += timedelta(days=60)
    while await refresh_due(api.app.state.engine, api.clock.now):
        pass
    async with api.app.state.engine.connect() as tx:
        statement = text("SELECT clock, due_at FROM clock_runs WHERE breached_at IS NOT NULL")
        marked = Counter((row.clock, row.due_at) for row in await tx.execute(statement))
        left = text(
            "SELECT count(*) FROM clock_runs WHERE met_at IS NULL AND stopped_at IS NULL AND breached_at IS NULL"
        )
        assert (await tx.execute(left)).scalar_one() == 0, "every clock has ended or is breached"
    told = await events_of_type(api, "lead.sla_breached")
    assert Counter((one["clock"], datetime.fromisoformat(one["due_at"])) for one in told) == marked
    assert marked
    stays = [(one["lead_id"], one["stage_entered_at"]) for one in await events_of_type(api, "lead.stalled")]
    assert stays
    assert len(set(stays)) == len(stays)
    for at, lead_id, shown in seen:
        then = await api.get(f"/v1/leads/{lead_id}?as_of={at.isoformat().replace('+00:00', 'Z')}")
        assert {name: then[name] for name in SHOWN} == shown
    assert {one.faults async for one in verify(api.app.state.engine)} == {()}
