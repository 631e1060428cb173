"""The example policy of an online shop: minutes from the inquiry to the conversion, and no SDR."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.policy.check import faults
from app.policy.document import Policy
from app.policy.read import read
from tests.api import Api

FILE = Path(__file__).parents[2] / "examples" / "shop_policy.yaml"


def shop() -> Policy:
    policy = read(FILE.read_bytes())
    assert isinstance(policy, Policy), policy
    return policy


async def convert(api: Api, lead: dict[str, Any], actor: str) -> dict[str, Any]:
    path, once = f"/v1/leads/{lead['id']}/conversion", {"Idempotency-Key": f"once-{lead['id']}"}
    return dict((await api.post(path, {}, actor=actor, headers=once))["conversion"])


def test_the_policy_of_the_shop_has_no_faults_and_no_warnings() -> None:
    assert faults(shop()) == []


async def test_a_question_in_the_shop_is_answered_and_converted_within_minutes(api: Api) -> None:
    await api.publish(shop())
    adviser, began = await api.user("ae"), api.now
    lead = await api.lead(email="mia@gmail.com", full_name="Mia Huber", country="AT")
    assert (lead["stage"], lead["score"]["fit"]) == ("inquiry", 10)
    api.clock.ahead += timedelta(minutes=2)
    await api.add_activity(lead, "product_question")
    assert (await api.reload(lead))["stage"] == "ready"
    api.clock.ahead += timedelta(minutes=5)
    await api.add_activity(lead, "call", kind="contact_attempt")
    conversion = await convert(api, lead, adviser)
    converted = await api.reload(lead)
    assert converted["stage"] == "converted"
    assert await api.steps(lead) == [(None, "inquiry"), ("inquiry", "ready"), ("ready", "converted")]
    assert (conversion["account"]["outcome"], conversion["contact"]["outcome"]) == ("none", "created")
    assert api.now - began < timedelta(minutes=10)
    won = f"/v1/opportunities/{conversion['opportunity']['id']}/transitions"
    await api.post(won, {"action": "win"}, actor=adviser)
    (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert [one["name"] for one in journey["milestones"]] == ["ready", "won"]


async def test_an_adviser_may_convert_an_inquiry_at_once(api: Api) -> None:
    await api.publish(shop())
    lead = await api.lead(phone="+43 1 555 0100")
    await convert(api, lead, await api.user("ae"))
    assert await api.steps(lead) == [(None, "inquiry"), ("inquiry", "converted")]


async def test_a_lead_that_was_dropped_is_reopened_where_it_was(api: Api) -> None:
    await api.publish(shop())
    lead, adviser = await api.lead(), await api.user("ae")
    await api.add_activity(lead, "callback_request")
    assert (await api.ask(lead, "disqualify", adviser, reason_code="not_in_stock")).status_code == 201
    back = await api.ask(lead, "reopen", adviser, reason_code="asked_again", note="it came in")
    assert back.json()["lead"]["stage"] == "ready"


@pytest.mark.parametrize(
    ("types", "stage"),
    [
        (["callback_request"], "ready"),
        (["cart_left", "cart_left"], "ready"),
        (["cart_left", "newsletter_signup"], "inquiry"),
        (["product_question", "unsubscribe"], "ready"),
    ],
)
async def test_only_who_wants_to_buy_is_ready(api: Api, types: list[str], stage: str) -> None:
    await api.publish(shop())
    lead = await api.lead()
    for type_ in types:
        await api.add_activity(lead, type_)
    assert (await api.reload(lead))["stage"] == stage


async def test_an_sdr_and_a_machine_cannot_convert_in_the_shop(api: Api) -> None:
    await api.publish(shop())
    lead = await api.lead()
    for actor, code in ((await api.user("sdr"), "role_not_allowed"), (None, "human_required")):
        headers = {"Idempotency-Key": f"once-{code}"}
        refused = await api.call("POST", f"/v1/leads/{lead['id']}/conversion", {}, actor=actor, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, code)
