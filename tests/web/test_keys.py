"""Keys: shown once, scoped, revocable; and the people they speak for."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from app.web import auth
from tests.api import Api
from tests.waiting import TIMEOUT_SECONDS


async def test_a_key_is_shown_once_and_stored_only_as_a_hash(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "CRM", "scopes": ["leads:read"]})
    again = await api.get(f"/v1/keys/{made['id']}")
    assert made["secret"].startswith("btn_")
    assert len(made["secret"]) == 47
    assert "secret" not in again
    async with api.app.state.engine.connect() as tx:
        stored = (await tx.execute(text("SELECT CAST(k AS text) FROM keys k"))).scalars()
    assert not any(made["secret"] in row for row in stored)


async def test_an_idempotent_answer_with_a_secret_is_sealed_at_rest(api: Api) -> None:
    head = {"Idempotency-Key": "k1"}
    body = {"name": "CRM", "scopes": ["leads:read"]}
    made = await api.post("/v1/keys", body, headers=head)
    again = await api.post("/v1/keys", body, headers=head)
    assert made == again
    async with api.app.state.engine.connect() as tx:
        stored = (await tx.execute(text("SELECT body FROM idempotency_keys"))).scalar_one()
    assert made["secret"] not in stored


async def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "CRM", "scopes": ["leads:read"]})
    assert (await api.call("GET", "/v1/leads", key=made["secret"])).status_code == 200
    await api.call("DELETE", f"/v1/keys/{made['id']}")
    refused = await api.call("GET", "/v1/leads", key=made["secret"])
    assert (refused.status_code, refused.json()["code"]) == (401, "key_unknown")


async def test_an_expired_key_is_refused(api: Api) -> None:
    body = {"name": "CRM", "scopes": ["leads:read"], "expires_at": api.ago(seconds=1)}
    made = await api.post("/v1/keys", body)
    assert (await api.call("GET", "/v1/leads", key=made["secret"])).status_code == 401


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer btn_wrong", "Bearer \udcff"])
async def test_whoever_is_not_known_is_told_so(api: Api, header: str) -> None:
    raw = header.encode("utf-8", "surrogateescape")
    answer = await api.client.get("/v1/me", headers={b"Authorization": raw})
    assert (answer.status_code, answer.json()["code"]) == (401, "key_unknown")


async def test_a_key_of_one_tenant_cannot_give_itself_the_platform(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    body = {"name": "more", "scopes": ["platform"]}
    refused = await api.call("POST", "/v1/keys", body, key=other["key"]["secret"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_an_actor_is_an_active_user_of_the_tenant(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    answer = await api.call("GET", "/v1/me", actor=await api.user("sdr", external_id="crm-7"))
    assert answer.json()["actor"]["kind"] == "human"
    assert (await api.call("GET", "/v1/me", actor="ext:crm-7")).json()["actor"]["role"] == "sdr"
    for nobody in ("usr_nonsense", "ext:nobody", "someone"):
        assert (await api.call("GET", "/v1/me", actor=nobody)).json()["code"] == "actor_unknown"
    mine = answer.json()["actor"]["id"]
    foreign = await api.call("GET", "/v1/me", actor=mine, key=other["key"]["secret"])
    assert (foreign.status_code, foreign.json()["code"]) == (403, "actor_unknown")
    await api.call("PATCH", f"/v1/users/{mine}", {"active": False})
    assert (await api.call("GET", "/v1/me", actor=mine)).json()["code"] == "actor_unknown"


async def test_the_same_idempotency_key_at_the_same_instant_takes_effect_once(api: Api) -> None:
    body = {"name": "x", "email": "x@acme.example", "role": "sdr"}
    head = {"Idempotency-Key": "same"}
    answers = await asyncio.gather(*(api.call("POST", "/v1/users", body, headers=head) for _ in range(10)))
    made = [answer for answer in answers if answer.status_code == 201]
    busy = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.content for answer in made}) == 1
    assert made
    assert {(answer.status_code, answer.json()["code"]) for answer in busy} <= {(409, "idempotency_in_progress")}
    assert all(answer.headers["retry-after"] == "1" for answer in busy)
    assert len((await api.get("/v1/users"))["data"]) == 1


async def test_an_idempotency_key_belongs_to_one_request_of_one_tenant(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    head = {"Idempotency-Key": "k"}
    body = {"name": "x", "email": "x@acme.example", "role": "sdr"}
    first = await api.post("/v1/users", body, headers=head)
    reused = await api.call("POST", "/v1/users", {**body, "role": "ae"}, headers=head)
    elsewhere = await api.call("POST", "/v1/users", body, headers=head, key=other["key"]["secret"])
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert elsewhere.status_code == 201
    assert elsewhere.json()["id"] != first["id"]


async def test_a_refused_request_leaves_its_key_free(api: Api) -> None:
    head = {"Idempotency-Key": "free"}
    assert (await api.call("POST", "/v1/users", {"name": "x"}, headers=head)).status_code == 422
    body = {"name": "x", "email": "x@acme.example", "role": "sdr"}
    assert (await api.call("POST", "/v1/users", body, headers=head)).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
async def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    raw = {b"Idempotency-Key": key.encode("latin-1"), b"Authorization": f"Bearer {api.key}".encode()}
    answer = await api.client.post("/v1/users", json={}, headers=raw)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_header")


async def test_a_request_waits_for_no_other_that_notes_the_use_of_the_same_key(api: Api) -> None:
    async with api.app.state.engine.begin() as other:
        await other.execute(text("UPDATE keys SET last_used_at = NULL"))
        auth.forget()
        async with asyncio.timeout(TIMEOUT_SECONDS):  # less than a lock is waited for
            assert (await api.call("GET", "/v1/me")).status_code == 200


async def test_the_same_request_for_another_person_is_another_request(api: Api) -> None:
    lead = await api.mql()
    one, two = await api.user("sdr"), await api.user("sdr")
    head = {"Idempotency-Key": "accept-it"}
    assert (await api.ask(lead, "accept", one, headers=head)).status_code == 201
    other = await api.ask(lead, "accept", two, headers=head)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_an_actor_may_be_named_by_an_external_id_in_any_script(api: Api) -> None:
    await api.user("sdr", external_id="über-7")
    headers = {b"Authorization": f"Bearer {api.key}".encode(), b"Baton-Actor": "ext:über-7".encode()}
    answer = await api.client.get("/v1/me", headers=headers)
    assert answer.json()["actor"]["role"] == "sdr"
