"""A tenant that has something on each page, and the paths of all pages."""

from __future__ import annotations

from app.reports.table import REPORTS
from app.submissions.process import process_batch
from tests.api import Api
from tests.contract.world import RecordIds, create_one_of_each

LISTS = (
    "/console",
    "/console/leads",
    "/console/accounts",
    "/console/pipeline",
    "/console/forecast",
    "/console/reports",
    "/console/sources",
    "/console/subscriptions",
    "/console/policies",
)
EMPTY = (*LISTS, *(f"/console/reports/{one.name}" for one in REPORTS), "/console/session")  # what needs no record


async def fill(api: Api) -> RecordIds:
    """One record of every kind, a submission in quarantine, and leads whose clock is due."""
    made = await create_one_of_each(api)
    await api.mql(full_name="Waits for somebody")
    refused = await api.client.post(f"/v1/ingest/{made['source_key']}", json={"nobody": 1})
    await process_batch(api.app.state.engine, api.clock.now)
    submission = await api.get(f"/v1/submissions/{refused.json()['submission']['id']}")
    assert submission["state"] == "quarantined", submission
    return {**made, "quarantined_id": submission["id"]}


def pages(made: RecordIds) -> list[str]:
    """Every page, with these records."""
    source = f"/console/sources/{made['source_id']}"
    return [
        *LISTS,
        "/console/leads?stage=mql&temperature=hot&q=waits",
        f"/console/leads/{made['lead_id']}",
        "/console/accounts?domain=nordsoft.ro",
        f"/console/accounts/{made['account_id']}",
        f"/console/opportunities/{made['opportunity_id']}",
        source,
        f"{source}?submission={made['quarantined_id']}",
        f"/console/subscriptions/{made['subscription_id']}",
        f"/console/policies/{made['policy_id']}",
        *(f"/console/reports/{one.name}" for one in REPORTS),
        "/console/forecast/rows?metric=pipeline",
        "/console/reports/funnel?by=country",
        "/console/reports/funnel/rows?metric=mql_to_sal",
    ]
