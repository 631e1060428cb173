"""Null in a PATCH: it clears a member that may be empty, and is refused for every other one, as in a POST."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.contract.contract import WITH_BODY, Operation
from tests.contract.world import RecordIds, create_one_of_each

PATCHES = [operation for operation in WITH_BODY if operation.method == "PATCH"]
NEVER_SHOWN = ("credentials", "hand_to")  # of a broker; and who gets the work of a user, which is done at once
# What is sent beside the null, since one of them has to stay.
BESIDE = {
    "accounts": {"name": "Nordsoft", "domain": "nordsoft.ro"},
    "contacts": {"full_name": "Ann", "phone": "+40215550100"},
}
NARROWING = {
    "/v1/subscriptions/{subscription_id}/replays": ("lead_ids",),
    "/v1/subscriptions/{subscription_id}/deliveries/retry": ("types", "lead_ids", "from", "to"),
    "/v1/subscriptions/{subscription_id}/deliveries/discard": ("types", "lead_ids", "from", "to"),
    "/v1/sources/{source_id}/replay": ("received_after", "received_before"),
    "/v1/policies/{policy_id}/backtests": ("from", "to"),
}
WHAT_NULL_IS = {"forecast_category": "omitted"}  # that of the stage


@pytest.fixture
async def record_ids(api: Api) -> RecordIds:
    return await create_one_of_each(api)


def members(operation: Operation) -> dict[str, bool]:
    """The members of the body, and whether they may be null."""
    properties = (operation.body or {})["properties"]
    return {name: {"type": "null"} in shape.get("anyOf", ()) for name, shape in properties.items()}


async def patch(api: Api, operation: Operation, record_ids: RecordIds, sent: Any) -> Any:
    return await api.call("PATCH", operation.at(**record_ids), sent, actor=record_ids["manager"])


async def test_null_is_refused_where_a_member_cannot_be_empty_and_changes_nothing(
    api: Api, record_ids: RecordIds
) -> None:
    for operation in PATCHES:
        refused = [name for name, may_be_null in members(operation).items() if not may_be_null]
        assert refused, str(operation)
        for name in refused:
            answer = await patch(api, operation, record_ids, {name: None})
            told = [(fault["field"], fault["code"]) for fault in answer.json()["errors"]]
            code = "wrong_type" if name in (operation.body or {}).get("required", ()) else "required"
            assert (answer.status_code, told) == (422, [(name, code)]), (str(operation), name, answer.text)


async def test_null_clears_what_may_be_empty(api: Api, record_ids: RecordIds) -> None:
    cleared = set()
    for operation in PATCHES:
        for name in [name for name, may_be_null in members(operation).items() if may_be_null]:
            beside = BESIDE.get(operation.path.split("/")[2], {})
            answer = await patch(api, operation, record_ids, {**beside, name: None})
            assert answer.status_code == 200, (str(operation), name, answer.text)
            if name not in NEVER_SHOWN:
                assert answer.json()[name] == WHAT_NULL_IS.get(name), (str(operation), name)
            cleared.add(name)
    assert {"owner_id", "capacity", "amount", "forecast_category", "credentials"} <= cleared


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in NARROWING.items() for name in names])
async def test_null_is_refused_where_a_member_narrows_what_a_request_is_about(
    api: Api, record_ids: RecordIds, path: str, name: str
) -> None:
    answer = await api.call("POST", path.format(**record_ids), {name: None}, headers={"Idempotency-Key": "null"})
    assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (422, [name]), answer.text
    assert answer.json()["errors"][0]["code"] == "required"


def test_each_patch_is_tried() -> None:
    assert {operation.path.split("/")[2] for operation in PATCHES} == {
        "accounts",
        "contacts",
        "leads",
        "opportunities",
        "sources",
        "subscriptions",
        "tenants",
        "users",
    }
