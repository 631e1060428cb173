"""Routes that take no body: what is sent to one is refused with its names, and never ignored."""

from __future__ import annotations

from typing import Any

from tests.api import Api
from tests.contract.contract import AUTHENTICATED, Operation
from tests.contract.world import create_one_of_each

JSON = {"Content-Type": "application/json"}
TAKING_NONE = [one for one in AUTHENTICATED if one.method != "GET" and "requestBody" not in one.members]


def test_there_are_such_routes() -> None:
    named = {str(one) for one in TAKING_NONE}
    assert {"POST /v1/subscriptions/{subscription_id}/ping", "POST /v1/leads/{lead_id}/unmerge"} < named
    assert {"DELETE /v1/keys/{key_id}", "POST /v1/models"} < named
    assert len(named) > 15


async def test_a_body_without_effect_is_refused_and_an_empty_one_is_not(api: Api) -> None:
    for operation in TAKING_NONE:
        await check(api, operation)


async def check(api: Api, operation: Operation) -> None:
    path = operation.at()
    without = await api.call(operation.method, path)
    plain = without.status_code, without.json().get("code")
    refused: list[tuple[Any, list[tuple[str, str]]]] = [
        ({"reason": "x"}, [("reason", "unknown_member")]),
        ({"a": None, "": 1}, [("a", "unknown_member"), ("body", "unknown_member")]),
        ([], [("body", "wrong_type")]),
        (0, [("body", "wrong_type")]),
        (False, [("body", "wrong_type")]),
        ("", [("body", "wrong_type")]),
    ]
    for body, faults in refused:
        answer = await api.call(operation.method, path, body)
        found = [(fault["field"], fault["code"]) for fault in answer.json()["errors"]]
        assert (answer.status_code, answer.json()["code"], found) == (422, "request_invalid", faults), (
            str(operation),
            body,
        )
    for content, headers in ((b"{}", JSON), (b" {} ", JSON), (b"null", JSON), (b"", JSON), (b"", {})):
        answer = await api.call(operation.method, path, content=content, headers=headers)
        assert (answer.status_code, answer.json().get("code")) == plain, (str(operation), content)
    for content, headers, status in ((b"{", JSON, 400), (b'{"a":1,"a":2}', JSON, 400), (b"a=b", {}, 415)):
        answer = await api.call(operation.method, path, content=content, headers=headers)
        assert answer.status_code == status, (str(operation), content)
    without_key = await api.client.request(operation.method, path, json={"reason": "x"})
    assert without_key.status_code == 401


async def test_what_is_refused_for_its_body_changes_nothing(api: Api) -> None:
    record_ids = await create_one_of_each(api)
    path = f"/v1/subscriptions/{record_ids['subscription_id']}"
    for method, where in (("POST", path + "/pause"), ("DELETE", path)):
        assert (await api.call(method, where, {"reason": "holiday"})).status_code == 422
    assert (await api.get(path))["state"] == "active"
    assert (await api.call("POST", path + "/pause", {})).json()["state"] == "paused"
