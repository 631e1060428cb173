"""If-None-Match: 304 while the client's copy is the present one, whatever has changed it."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.events.partitions import create_partitions
from app.events.sequence import sequence
from app.policy.shipped import shipped
from tests.api import Api
from tests.contract.contract import ALL, Operation
from tests.contract.world import create_one_of_each

WITH_ETAG = [operation for operation in ALL if operation.method == "GET" and "If-None-Match" in operation.headers]


async def read(api: Api, path: str, tag: str | None = None) -> httpx.Response:
    return await api.call("GET", path, headers={"If-None-Match": tag} if tag is not None else None)


def test_every_resource_that_can_be_changed_is_read_with_an_etag() -> None:
    kinds = {operation.path.split("/")[2] for operation in WITH_ETAG}
    assert kinds >= {"leads", "accounts", "contacts", "opportunities", "sources", "subscriptions", "users", "keys"}


@pytest.mark.parametrize("operation", WITH_ETAG, ids=str)
async def test_a_copy_that_is_current_is_a_304_with_the_etag_and_no_body(api: Api, operation: Operation) -> None:
    path = operation.at(**await create_one_of_each(api))
    first = await read(api, path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', f'W/"x" ,W/{tag}', "*", " * "):
        answer = await read(api, path, known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), known
    for other in ('"x"', f'{tag[:-1]}0"', tag.strip('"'), "", ",,", '"', "W/", f'"{tag}"'):
        answer = await read(api, path, other)
        assert (answer.status_code, answer.json()) == (200, first.json()), other
    assert (await api.call("HEAD", path, headers={"If-None-Match": tag})).status_code == 304
    assert (await api.client.get(path, headers={"If-None-Match": tag})).status_code == 401


async def test_a_change_makes_another_etag(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}"
    made = (await read(api, path)).headers["etag"]
    await api.call("PATCH", path, {"custom": {"size": "L"}}, headers={"If-Match": made})
    assert (await read(api, path, made)).status_code == 200
    changed = await api.call("PATCH", path, {"custom": {"size": "M"}})
    assert (await read(api, path, changed.headers["etag"])).status_code == 304


async def test_the_answer_to_a_write_is_never_a_304(api: Api) -> None:
    lead = await api.lead()
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"custom": {}}, headers={"If-None-Match": "*"})
    assert answer.status_code == 200


async def test_a_score_that_has_decayed_is_not_a_304_and_its_etag_is_good_for_if_match(api: Api) -> None:
    lead = await api.mql()
    path = f"/v1/leads/{lead['id']}"
    fresh = await read(api, path)
    api.clock.ahead += timedelta(days=60)
    later = await read(api, path, fresh.headers["etag"])
    assert later.status_code == 200
    assert later.json()["version"] == fresh.json()["version"]
    assert later.json()["score"]["engagement"] < fresh.json()["score"]["engagement"]
    assert (await read(api, path, later.headers["etag"])).status_code == 304
    for tag, status in ((later.headers["etag"], 200), (fresh.headers["etag"], 412), (later.headers["etag"], 412)):
        body: dict[str, Any] = {"custom": {"n": status, "tag": tag}}
        assert (await api.call("PATCH", path, body, headers={"If-Match": tag})).status_code == status


async def test_another_policy_makes_another_etag(api: Api) -> None:
    lead = await api.lead()
    tag = (await read(api, f"/v1/leads/{lead['id']}")).headers["etag"]
    api.clock.ahead += timedelta(seconds=1)
    await api.publish(shipped("pipeline"))
    assert (await read(api, f"/v1/leads/{lead['id']}", tag)).status_code == 200


async def test_the_lag_of_a_subscription_is_not_hidden_by_a_304(api: Api) -> None:
    made = await api.post("/v1/subscriptions", {"url": "http://127.0.0.1:9/hook"})
    path = f"/v1/subscriptions/{made['id']}"
    tags = [(await read(api, path)).headers["etag"]]
    for _ in range(2):
        await api.lead()
        await create_partitions(api.app.state.engine)
        await sequence(api.app.state.engine)
        behind = await read(api, path, tags[-1])
        assert (behind.status_code, behind.json()["version"]) == (200, made["version"])
        tags.append(behind.headers["etag"])
    assert len(set(tags)) == 3
    assert (await read(api, path, tags[-1])).status_code == 304
    paused = await api.call("POST", f"{path}/pause", headers={"If-Match": tags[-1], "Idempotency-Key": "once"})
    assert paused.status_code == 200


async def test_the_last_use_of_a_key_is_not_hidden_by_a_304(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "reader", "scopes": ["leads:read"]})
    path = f"/v1/keys/{made['id']}"
    tag = (await read(api, path)).headers["etag"]
    assert (await api.call("GET", "/v1/leads", key=made["secret"])).status_code == 200
    used = await read(api, path, tag)
    assert (used.status_code, used.json()["last_used_at"] is not None) == (200, True)


async def test_an_etag_of_one_version_is_not_that_of_a_longer_number(api: Api) -> None:
    lead = await api.lead()
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET version = 12"))
    for tag, status in (('"1"', 412), ('"1-2"', 412), ('"12"', 200)):
        path = f"/v1/leads/{lead['id']}"
        answer = await api.call("PATCH", path, {"custom": {"tag": tag}}, headers={"If-Match": tag})
        assert answer.status_code == status, tag
