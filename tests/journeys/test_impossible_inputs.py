"""Amounts and instants that cannot be are refused, and the problem names them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api

FAULTY = ("-1.00", "-0.01", "-9999999999999999.99")


def budget(value: str) -> dict[str, Any]:
    return {"budget": {"status": "confirmed", "amount": {"value": value, "currency": "EUR"}}}


@pytest.mark.parametrize("value", FAULTY)
async def test_a_negative_budget_is_refused_by_both_ways_to_confirm_it(api: Api, value: str) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    answers = [
        await api.call("PUT", f"/v1/leads/{lead['id']}/bant", budget(value), actor=sdr),
        await api.ask(lead, "accept", sdr, bant=budget(value)),
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    named = [[(one["field"], one["code"]) for one in answer.json()["errors"]] for answer in answers]
    assert named == [[("budget.amount.value", "amount_negative")], [("bant.budget.amount.value", "amount_negative")]]
    assert (await api.reload(lead))["version"] == lead["version"]


async def test_a_budget_of_zero_is_none_and_can_be_confirmed(api: Api) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/bant", budget("-0"), actor=sdr)).status_code == 200


@pytest.mark.parametrize("span", [{"seconds": 1}, {"minutes": 4}, {"days": 90}, {"days": 20_000}], ids=str)
async def test_a_lead_is_not_recycled_until_an_instant_that_has_passed(api: Api, span: dict[str, float]) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    refused = await api.ask(lead, "recycle", sdr, reason_code="timing", wake_at=api.ago(**span))
    assert (refused.status_code, refused.json()["code"]) == (422, "out_of_order")
    assert [one["field"] for one in refused.json()["errors"]] == ["wake_at"]
    assert (await api.reload(lead))["stage"] == "mql"
    assert (await api.ask(lead, "recycle", sdr, reason_code="timing", wake_at=api.ago(hours=-1))).status_code == 201


async def test_where_an_action_takes_no_wake_at_it_has_no_effect(api: Api) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    assert (await api.ask(lead, "accept", sdr, wake_at=api.ago(days=1))).status_code == 201
