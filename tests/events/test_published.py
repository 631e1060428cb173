"""Each event of real stories is as the schema of its type says, in the feed, with and without its lead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.events.catalogue import TYPES
from app.events.sequence import sequence
from app.policies.due import announce_reviews
from tests.api import Api
from tests.contract.world import create_one_of_each
from tests.conversion.steps import BANT, converted, sql_lead
from tests.events.published import faults_of
from tests.journeys.test_overdue import going_stale
from tests.journeys.test_time import pass_time
from tests.leads.test_included import WHOLE_LIFE, live, staff, stand_still
from tests.pipeline.test_advance import step
from tests.rules.make import WATERFALL, altered
from tests.submissions.sender import make_sender

# Those of deliveries are checked where one fails (tests/webhooks).
ELSEWHERE = {"delivery.dead"} | {each for each in TYPES if each.startswith("subscription.")}


async def events_of_stories(api: Api, include: str) -> list[dict[str, Any]]:
    """The events after leads lived every kind of story."""
    people = await staff(api)
    await create_one_of_each(api)
    await api.post(
        "/v1/leads", {"fields": {"email": "ion@one.example", "phone": "+40 21 555 0177", "full_name": "Ion Pop"}}
    )
    await api.post(
        "/v1/leads", {"fields": {"email": "eva@two.example", "phone": "+40 21 555 0177", "full_name": "Eva Dinu"}}
    )
    assert (await (await make_sender(api)).post_and_process("{"))["state"] == "quarantined"
    double_opt_in = await make_sender(api, defaults={"double_opt_in": {}})
    await double_opt_in.post_and_process({"email": "news@acme.example", "newsletter": "yes"})
    for reason in ("no_budget", "spam"):  # closed, and closed for good
        lead = await api.mql(email=f"{reason}@acme.example")
        asked = await api.ask(lead, "disqualify", people["sdr"], reason_code=reason, note="because")
        assert asked.status_code == 201, asked.text
        await pass_time(api, 200)
        await api.post("/v1/leads", {"fields": {"email": f"{reason}@acme.example"}}, status=200)
    twins = [await api.lead(email=f"twin{n}@acme.example", full_name="Twin") for n in range(2)]
    for verb, sent in (("merge", {"into": twins[1]["id"]}), ("unmerge", {})):
        done = await api.call("POST", f"/v1/leads/{twins[0]['id']}/{verb}", sent, actor=people["manager"])
        assert done.status_code == 200, done.text
    forgotten = await api.mql(email="gone@acme.example", full_name="Gone Ion")
    await api.post(f"/v1/leads/{forgotten['id']}/erasure", {"reason": "person_asked"}, status=202)
    await api.post("/v1/leads", {"fields": {"email": "gone@acme.example"}}, status=202)
    taken_back = await sql_lead(api, people["ae"], email="back@back.example", company="Back")
    await converted(api, taken_back, people["ae"])
    revert = f"/v1/leads/{taken_back['id']}/conversion/revert"
    await api.post(revert, {"reason_code": "mistake"}, status=200, actor=people["manager"])
    later = await api.mql(email="later@acme.example")
    await api.ask(later, "recycle", people["sdr"], reason_code="timing", wake_at=api.ago(days=-5))
    await pass_time(api, 6)
    await live(api, people, WHOLE_LIFE)
    deal = (await api.post("/v1/opportunities", {"name": "Licences", "close_date": "2026-12-01"}))["id"]
    changed = await api.call("PATCH", f"/v1/opportunities/{deal}", {"close_date": "2026-12-15"})
    assert changed.status_code == 200, changed.text
    await api.publish(altered(WATERFALL, going_stale(3, "inquiry")))
    await api.lead(email="idle@acme.example")
    await pass_time(api, 4)
    assert await announce_reviews(api.app.state.engine, lambda: api.now + timedelta(days=100)) == 1
    await sequence(api.app.state.engine)
    page = await api.get(
        "/v1/events", params={"after": "earliest", "limit": 1000, **({"include": include} if include else {})}
    )
    return list(page["data"])


@pytest.mark.parametrize("include", ["", "lead"])
async def test_each_event_of_a_story_is_as_its_schema_says(api: Api, include: str) -> None:
    stand_still(api)
    events = await events_of_stories(api, include)
    assert {event["type"] for event in events} == TYPES.keys() - ELSEWHERE
    assert [fault for event in events for fault in faults_of(event)] == []


@pytest.mark.parametrize(
    ("end", "to"), [({"action": "win"}, "won"), ({"action": "lose", "reason_code": "price"}, "lost")]
)
async def test_the_events_of_an_opportunity_that_ends_are_as_their_schema_says(
    pipeline_api: Api, end: dict[str, Any], to: str
) -> None:
    ae = await pipeline_api.user("ae")
    opportunity = await pipeline_api.post("/v1/opportunities", {"name": "Renewal"}, actor=ae)
    for body in ({"action": "qualify", "bant": BANT}, end):
        assert (await step(pipeline_api, opportunity["id"], ae, **body)).status_code == 201
    await sequence(pipeline_api.app.state.engine)
    events = (await pipeline_api.get("/v1/events?after=earliest"))["data"]
    assert [event["data"]["class"] for event in events] == ["unqualified", "qualified", to]
    assert [fault for event in events for fault in faults_of(event)] == []
