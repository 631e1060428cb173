"""A policy that both teams sign (lifecycle.md, section 9, and the last sentence of scenario 23)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.events.partitions import create_partitions
from app.events.sequence import sequence
from tests.api import Api
from tests.conversion.steps import moved
from tests.policies.steps import settle
from tests.rules.make import PIPELINE, document


def with_attempts(least: int) -> dict[str, Any]:
    """The policy `pipeline`, by which an SDR accepts after as many contact attempts."""
    changed = document(PIPELINE)
    accept = next(action for action in changed["actions"] if action["name"] == "accept")
    accept["guard"] = {"all": [accept["guard"], {"attempts": {"at_least": least}}]}
    return changed


async def test_23_marketing_and_sales_sign_a_version_and_each_lead_keeps_its_own(pipeline_api: Api) -> None:
    api = pipeline_api
    marketing, sdr = await api.user("marketing"), await api.user("sdr")
    first = await api.mql()
    draft = await api.post("/v1/policies", with_attempts(3), actor=marketing)
    path = f"/v1/policies/{draft['id']}"
    await api.call("PUT", path, with_attempts(2), actor=marketing)
    await api.post(f"{path}/proposal", None, status=200, actor=marketing)
    await api.post(f"{path}/approvals", None, status=200, actor=marketing)
    alone = await api.call("POST", f"{path}/activation", actor=marketing)
    assert (alone.status_code, alone.json()["code"], alone.json()["missing"]) == (409, "approvals_missing", ["sales"])
    seen = await api.call("GET", path, actor=sdr)
    await api.post(f"{path}/approvals", None, status=200, actor=sdr, headers={"If-Match": seen.headers["etag"]})
    api.clock.ahead += timedelta(hours=1)
    await api.post(f"{path}/activation", None, status=200, actor=marketing)
    await settle(api)
    second = await api.mql()
    assert (await moved(api, first, "accept", sdr))["transition"]["policy_version"] == 1
    refused = await api.ask(second, "accept", sdr)
    assert refused.json()["unmet"] == [{"criterion": "attempts", "have": 0, "need": 2}]
    for _ in range(2):
        await api.add_activity(second, "call", kind="contact_attempt")
    assert (await moved(api, second, "accept", sdr))["transition"]["policy_version"] == 2
    await create_partitions(api.app.state.engine)
    while await sequence(api.app.state.engine):
        pass
    (event,) = (await api.get("/v1/events?types=policy.activated"))["data"]
    assert (event["data"]["policy_id"], event["data"]["policy_version"]) == (draft["id"], 2)
