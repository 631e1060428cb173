"""Limits of a tenant: set by the platform, refused with 429 beyond them, and no concern of other tenants."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app import ids, metrics
from app.errors import RateLimited
from app.web import auth, quotas, transacted
from app.web.quotas import Limits, Quota, Quotas
from tests.api import Api
from tests.submissions.sender import count, make_sender, person, typeform_signature
from tests.waiting import TIMEOUT_SECONDS, until

NOON = datetime(2026, 8, 17, 12, tzinfo=UTC)
UNSET = {"submissions_per_minute": None, "requests_per_minute": None, "in_flight": None}
TENANT = UUID("019a8f2c-7b1e-7c3d-8e4f-5a6b7c8d9e0f")


def path_of(api: Api) -> str:
    return f"/v1/tenants/{ids.show('tenant', api.tenant_id)}/limits"


async def limit(api: Api, tenant: Api, **limits: int) -> dict[str, Any]:
    answer = await api.call("PUT", path_of(tenant), limits)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def assert_refused(answer: httpx.Response, name: str, quota: int, seconds: int) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited"), answer.text
    assert (answer.json()["limit"], answer.json()["quota"]) == (name, quota)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == str(seconds)
    assert answer.headers["ratelimit-policy"] == f'"{name}";q={quota};w=60'
    assert answer.headers["ratelimit"] == f'"{name}";r=0;t={seconds}'


def freeze(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the clock, so that no quota refills while the test runs; `api.clock.ahead` moves it."""
    monkeypatch.setattr(api.clock, "now", lambda: NOON + api.clock.ahead)


async def test_limits_are_the_defaults_until_they_are_set_and_after_they_are_unset(api: Api, rival: Api) -> None:
    defaults = {"submissions_per_minute": 600_000, "requests_per_minute": 600_000, "in_flight": None}
    assert await api.get(path_of(rival)) == {**UNSET, "effective": defaults}
    made = await limit(api, rival, requests_per_minute=90, in_flight=3)
    assert made == {**UNSET, "requests_per_minute": 90, "in_flight": 3, "effective": {**defaults, **made["effective"]}}
    assert made["effective"] == {**defaults, "requests_per_minute": 90, "in_flight": 3}
    assert await api.get(path_of(rival)) == made
    assert await limit(api, rival) == {**UNSET, "effective": defaults}


async def test_limits_have_the_version_of_their_tenant_and_each_change_is_audited(api: Api, rival: Api) -> None:
    path = path_of(rival)
    before = (await api.call("GET", path)).headers["etag"]
    changed = await api.call("PUT", path, {"in_flight": 5}, headers={"If-Match": before})
    assert (changed.status_code, changed.headers["etag"] != before) == (200, True)
    stale = await api.call("PUT", path, {"in_flight": 6}, headers={"If-Match": before})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")
    same = await api.call("PUT", path, {"in_flight": 5})
    assert same.headers["etag"] == changed.headers["etag"], "nothing changed"
    assert await count(api, "SELECT count(*) FROM audit WHERE act = 'tenant.limits_set'") == 1


@pytest.mark.parametrize("name", list(UNSET))
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, 10**12, [1]])
async def test_a_limit_that_is_no_number_of_requests_is_refused_by_name(api: Api, name: str, value: Any) -> None:
    answer = await api.call("PUT", path_of(api), {name: value})
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert answer.json()["errors"][0]["field"] == name


async def test_an_unknown_limit_and_an_unknown_tenant_are_refused(api: Api, rival: Api) -> None:
    answer = await api.call("PUT", path_of(api), {"leads": 1})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "leads")
    for method in ("GET", "PUT"):
        unknown = f"/v1/tenants/{ids.show('tenant', ids.new_id())}/limits"
        answer = await api.call(method, unknown, None if method == "GET" else {})
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")
        own = await rival.call(method, path_of(rival), None if method == "GET" else {})
        assert (own.status_code, own.json()["code"]) == (403, "scope_missing"), "no tenant sets its own limits"


@pytest.mark.parametrize("quota", [1, 3])
async def test_a_tenant_over_its_requests_a_minute_is_refused_and_another_is_not(
    api: Api, rival: Api, monkeypatch: pytest.MonkeyPatch, quota: int
) -> None:
    freeze(api, monkeypatch)
    await limit(api, rival, requests_per_minute=quota)
    refused = metrics.OVER_QUOTA.labels("requests_per_minute")._value
    before = refused.get()
    for _ in range(quota):
        assert (await rival.call("GET", "/v1/leads")).status_code == 200
    for method, path in (("GET", "/v1/me"), ("POST", "/v1/leads"), ("GET", "/v1/events"), ("GET", "/v1/leads/x")):
        body = {"fields": {"email": "ana@nordsoft.example"}} if method == "POST" else None
        assert_refused(await rival.call(method, path, body), "requests_per_minute", quota, 60 // quota)
    assert refused.get() - before == 4
    assert (await api.call("GET", "/v1/leads")).status_code == 200
    assert await count(api, "SELECT count(*) FROM leads") == 0, "a refusal writes nothing"
    api.clock.ahead += timedelta(seconds=60 // quota - 1)
    assert_refused(await rival.call("GET", "/v1/me"), "requests_per_minute", quota, 1)
    api.clock.ahead += timedelta(seconds=1)
    assert (await rival.call("GET", "/v1/me")).status_code == 200
    assert_refused(await rival.call("GET", "/v1/me"), "requests_per_minute", quota, 60 // quota)


async def test_all_keys_of_a_tenant_share_its_quota_and_a_wrong_key_uses_none(
    api: Api, rival: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(api, monkeypatch)
    second = (await rival.post("/v1/keys", {"name": "two", "scopes": ["admin"]}))["secret"]
    await limit(api, rival, requests_per_minute=2)
    for _ in range(5):
        assert (await rival.call("GET", "/v1/me", key="btn_" + "x" * 43)).status_code == 401
    assert [(await rival.call("GET", "/v1/me", key=key)).status_code for key in (None, second, None, second)] == [
        200,
        200,
        429,
        429,
    ]


async def test_a_tenant_over_its_submissions_a_minute_is_refused_and_another_is_not(
    api: Api, rival: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = await make_sender(api), await make_sender(rival)
    freeze(api, monkeypatch)
    assert (await theirs.post(person())).status_code == 202, "the source is cached before the limit is set"
    await limit(api, rival, submissions_per_minute=2)
    assert [(await theirs.post(person())).status_code for _ in range(2)] == [202, 202]
    for headers in ({}, {"Prefer": "wait=5"}):
        assert_refused(await theirs.post(person(), **headers), "submissions_per_minute", 2, 30)
    assert (await mine.post(person())).status_code == 202
    assert await count(api, "SELECT count(*) FROM submissions WHERE tenant_id = :id", id=rival.tenant_id) == 3
    assert (await rival.call("GET", "/v1/submissions")).status_code == 200, "the API has a quota of its own"
    api.clock.ahead += timedelta(seconds=30)
    assert [(await theirs.post(person())).status_code for _ in range(2)] == [202, 429]


async def test_forged_submissions_use_up_no_quota(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = await make_sender(api, "typeform")
    freeze(api, monkeypatch)
    await limit(api, api, submissions_per_minute=1)
    body = b'{"form_response": {"token": "t", "answers": [{"type": "email", "email": "a@nordsoft.example"}]}}'
    for _ in range(5):
        assert (await sender.post(body, Typeform_Signature="sha256=forged")).status_code == 401
    signed = [await sender.post(body, Typeform_Signature=typeform_signature(body)) for _ in range(2)]
    assert [answer.status_code for answer in signed] == [202, 429]


async def test_requests_of_one_tenant_in_flight_are_limited_and_those_of_another_are_not(
    api: Api, rival: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transacted, "POOL_SECONDS", TIMEOUT_SECONDS)
    monkeypatch.setattr(auth, "CACHE_SECONDS", TIMEOUT_SECONDS)
    slots = api.app.state.connection_slots
    await limit(api, rival, in_flight=2)
    assert (await rival.call("GET", "/v1/me")).status_code == 200
    free = slots._value
    for _ in range(free):
        await slots.acquire()
    waiting = [asyncio.create_task(rival.call("GET", "/v1/leads")) for _ in range(2)]
    await until(lambda: len(slots._waiters or ()) == 2, "both wait for a connection")
    refused = await rival.call("GET", "/v1/leads")
    other = asyncio.create_task(api.call("GET", "/v1/leads"))
    await until(lambda: len(slots._waiters or ()) == 3, "the other tenant's request waits too")
    for _ in range(free):
        slots.release()
    assert (refused.status_code, refused.json()["limit"], refused.json()["quota"]) == (429, "in_flight", 2)
    assert refused.headers["ratelimit-policy"] == '"in_flight";q=2;qu="concurrent-requests"'
    assert (refused.headers["ratelimit"], refused.headers["retry-after"]) == ('"in_flight";r=0', "1")
    assert [(await one).status_code for one in (*waiting, other)] == [200, 200, 200]
    assert (await rival.call("GET", "/v1/leads")).status_code == 200


async def test_a_changed_limit_begins_with_a_full_minute_and_the_same_limit_does_not(
    api: Api, rival: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(api, monkeypatch)

    async def answered() -> int:
        number = 0
        while (await rival.call("GET", "/v1/me")).status_code == 200:
            number += 1
        return number

    await limit(api, rival, requests_per_minute=3)
    assert await answered() == 3
    await limit(api, rival, requests_per_minute=3)
    assert await answered() == 0
    await limit(api, rival, requests_per_minute=5)
    assert await answered() == 5


@pytest.mark.parametrize(
    ("processes", "limit_set", "part"),
    [(1, 7, 7), (2, 7, 4), (2, 8, 4), (3, 7, 3), (4, 1, 1), (64, 100, 2), (5, None, 600_000)],
)
def test_each_of_several_processes_grants_an_equal_part_rounded_up(
    monkeypatch: pytest.MonkeyPatch, processes: int, limit_set: int | None, part: int
) -> None:
    monkeypatch.setitem(quotas._limits, TENANT, Limits(requests_per_minute=limit_set))
    quota = Quotas(processes).of("requests", TENANT)
    for _ in range(part):
        quota.take(NOON)
    with pytest.raises(RateLimited):
        quota.take(NOON)


def test_a_request_that_fails_is_no_longer_in_flight_and_one_refused_in_flight_takes_no_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(quotas._limits, TENANT, Limits(in_flight=1, requests_per_minute=2))
    quota = Quota("requests", TENANT, 1)
    with suppress(LookupError), quota.admitted(NOON):
        with pytest.raises(RateLimited, match="in_flight"), quota.admitted(NOON):
            pass
        raise LookupError
    with quota.admitted(NOON):
        pass
    with pytest.raises(RateLimited, match="requests_per_minute"):
        quota.check(NOON)
