"""What receivers answered about an erased person is erased too, of whichever subscription and event it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from app import ids
from app.events.sequence import sequence
from app.ids import new_id
from tests.api import Api
from tests.conversion.steps import converted, rows, sql_lead
from tests.erasure.people import erase

# One attempt for each event in the log, as its receiver answered it.
ANSWER = text(
    """
    INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, lead_id, ms, code, trigger,
                          response_head)
    SELECT l.tenant_id, :subscription_id, l.position, 1, now(), e.id, l.lead_id, 1, 200, 'live', 'thanks, Ada'
      FROM event_log l JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     WHERE l.tenant_id = :tenant_id
    """
)
KEPT = """
    SELECT l.lead_id, l.order_key FROM attempts a
      JOIN event_log l ON l.tenant_id = a.tenant_id AND l.position = a.position
     WHERE a.response_head IS NOT NULL
"""


async def test_answers_about_the_person_are_erased_of_every_subscription_and_those_about_others_stay(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae)
    made = await converted(api, lead, ae)
    opportunity_id = made["opportunity"]["id"]
    await api.call("PATCH", f"/v1/opportunities/{opportunity_id}", {"close_date": "2027-01-31"}, actor=ae)
    other = await api.lead()
    for _ in range(3):
        await sequence(api.app.state.engine)
    live = await api.post("/v1/subscriptions", {"url": "https://hooks.acme.example/in", "types": ["lead.*"]})
    deleted = new_id()
    async with api.app.state.engine.begin() as tx:
        for subscription_id in (ids.read("subscription", live["id"]), deleted):
            await tx.execute(ANSWER, {"tenant_id": api.tenant_id, "subscription_id": subscription_id})
    before: list[Any] = await rows(api, KEPT)
    own = {ids.read("lead", lead["id"]), ids.read("opportunity", opportunity_id)}
    assert {row.order_key for row in before} > own, "there are answers about the deal and about others"
    await erase(api, lead)
    kept = await rows(api, KEPT)
    assert {row.order_key for row in kept}.isdisjoint(own)
    assert sorted(map(tuple, kept), key=str) == sorted(
        (tuple(row) for row in before if row.order_key not in own), key=str
    )
    assert ids.read("lead", other["id"]) in {row.lead_id for row in kept}
    assert len(await rows(api, "SELECT 1 FROM attempts")) == len(before)
