"""Actions may have any name: the one that opens a journey, converts it or takes that back is known by what it does."""

from __future__ import annotations

from typing import Any

import pytest

from app.policy.document import Policy
from app.policy.read import read_document
from tests.api import Api
from tests.conversion.steps import BANT, convert, converted, moved, mql
from tests.rules.make import PIPELINE, WATERFALL, document


def renamed(policy: Policy, *earlier: dict[str, Any]) -> Policy:
    """The policy with another name for every action of a lead, and with these actions before the others."""
    changed = document(policy)
    for action in changed["actions"]:
        action["name"] = f"our_{action['name']}"
    steps = [one for clock in changed["clocks"].values() for one in clock["on_breach"]]
    for one in (*changed["automation"], *steps):
        if one.get("do"):
            one["do"] = f"our_{one['do']}"
    for clock in changed["clocks"].values():
        if clock["met_by"] != "contact_attempt":
            clock["met_by"] = f"our_{clock['met_by']}"
    changed["actions"] = [*earlier, *changed["actions"]]
    found = read_document(changed)
    assert isinstance(found, Policy), found
    return found


@pytest.mark.parametrize("policy", [WATERFALL, PIPELINE], ids=lambda one: one.name)
async def test_a_lead_is_captured_converted_and_reverted_by_actions_of_any_name(api: Api, policy: Policy) -> None:
    await api.publish(renamed(policy))
    ae, manager = await api.user("ae"), await api.user("manager")
    lead = await mql(api)
    await moved(api, lead, "our_accept", manager)
    lead = (await moved(api, lead, "our_confirm", ae, bant=BANT))["lead"]
    await converted(api, lead, ae)
    again = await convert(api, lead, ae)
    assert (again.status_code, again.json()["code"]) == (409, "lead_already_converted")
    path = f"/v1/leads/{lead['id']}/conversion/revert"
    reverted = await api.call("POST", path, {"reason_code": "mistake"}, actor=manager)
    assert reverted.status_code in (200, 201), reverted.text
    assert [row["action"] for row in (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]] == [
        "our_capture",
        "our_qualify",
        "our_accept",
        "our_confirm",
        "our_convert",
        "our_revert_conversion",
    ]


async def test_who_opens_a_journey_takes_the_action_that_is_for_him(api: Api) -> None:
    walk_in = {"name": "walk_in", "from": [None], "to": "inquiry", "by": {"people": ["manager"]}, "needs": ["source"]}
    await api.publish(renamed(WATERFALL, walk_in))
    manager = await api.user("manager")
    for actor, action in ((manager, "walk_in"), (None, "our_capture")):
        lead = await api.post("/v1/leads", {"fields": {"email": f"{action}@nordsoft.ro"}}, actor=actor)
        (row,) = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
        assert row["action"] == action
