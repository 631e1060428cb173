"""API keys: shown once, scoped, revocable; the users they act for; and idempotency keys."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from app.database import transaction
from app.database.transaction import Tx
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


async def test_a_stored_idempotent_response_is_encrypted_at_rest(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    body = {"name": "CRM", "scopes": ["leads:read"]}
    made = await api.post("/v1/keys", body, headers=headers)
    again = await api.post("/v1/keys", body, headers=headers)
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


class Pause:
    """Delays the commit of a transaction that has something to do afterwards, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on, self.commit = asyncio.Event(), asyncio.Event(), transaction._commit
        monkeypatch.setattr(transaction, "_commit", self)

    async def __call__(self, tx: Tx) -> None:
        if tx.after_commit:
            self.reached.set()
            await self.go_on.wait()
        await self.commit(tx)


@pytest.mark.parametrize("what", ["key", "user"])
async def test_a_request_during_a_revocation_does_not_keep_the_key_or_user_alive(
    api: Api, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    key = await api.post("/v1/keys", {"name": "CRM", "scopes": ["leads:read", "actors:assert"]})
    user = await api.user("sdr")
    method, path, body = ("DELETE", f"/v1/keys/{key['id']}", None)
    if what == "user":
        method, path, body = "PATCH", f"/v1/users/{user}", {"active": False}
    pause = Pause(monkeypatch)
    revoking = asyncio.create_task(api.call(method, path, body))
    await pause.reached.wait()
    during = await api.call("GET", "/v1/leads", key=key["secret"], actor=user)
    pause.go_on.set()
    revoked = await revoking
    assert (during.status_code, revoked.status_code) == (200, 200), "the change was not committed yet"
    after = await api.call("GET", "/v1/leads", key=key["secret"], actor=user)
    assert after.status_code == {"key": 401, "user": 403}[what]


async def test_a_look_up_that_began_before_a_revocation_is_not_remembered_after_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await api.post("/v1/keys", {"name": "CRM", "scopes": ["leads:read"]})
    reached, go_on, look_up = asyncio.Event(), asyncio.Event(), auth._look_up

    async def slow_look_up(tx: Tx, sha256: str, asserted: str, now: datetime) -> auth.Caller:
        caller = await look_up(tx, sha256, asserted, now)
        if caller.key_name == "CRM":
            reached.set()
            await go_on.wait()
        return caller

    monkeypatch.setattr(auth, "_look_up", slow_look_up)
    reading = asyncio.create_task(api.call("GET", "/v1/leads", key=key["secret"]))
    await reached.wait()
    await api.call("DELETE", f"/v1/keys/{key['id']}")
    go_on.set()
    assert (await reading).status_code == 200
    assert (await api.call("GET", "/v1/leads", key=key["secret"])).status_code == 401


async def test_an_expired_key_is_refused(api: Api) -> None:
    body = {"name": "CRM", "scopes": ["leads:read"], "expires_at": api.ago(hours=-1)}
    made = await api.post("/v1/keys", body)
    api.clock.ahead += timedelta(hours=1)
    assert (await api.call("GET", "/v1/leads", key=made["secret"])).status_code == 401


async def test_a_key_that_would_have_expired_already_is_not_made(api: Api) -> None:
    body = {"name": "CRM", "scopes": ["leads:read"], "expires_at": api.ago(seconds=1)}
    refused = await api.call("POST", "/v1/keys", body)
    assert (refused.status_code, [one["field"] for one in refused.json()["errors"]]) == (422, ["expires_at"])


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer btn_wrong", "Bearer \udcff"])
async def test_a_missing_or_unknown_key_is_a_401(api: Api, header: str) -> None:
    raw = header.encode("utf-8", "surrogateescape")
    answer = await api.client.get("/v1/me", headers={b"Authorization": raw})
    assert (answer.status_code, answer.json()["code"]) == (401, "key_unknown")


async def test_a_key_without_the_platform_scope_cannot_create_one_with_it(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    body = {"name": "more", "scopes": ["platform"]}
    refused = await api.call("POST", "/v1/keys", body, key=other["key"]["secret"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_an_actor_is_an_active_user_of_the_tenant(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    answer = await api.call("GET", "/v1/me", actor=await api.user("sdr", external_id="crm-7"))
    assert answer.json()["actor"]["kind"] == "human"
    assert (await api.call("GET", "/v1/me", actor="ext:crm-7")).json()["actor"]["role"] == "sdr"
    for unknown in ("usr_nonsense", "ext:unknown", "someone"):
        assert (await api.call("GET", "/v1/me", actor=unknown)).json()["code"] == "actor_unknown"
    mine = answer.json()["actor"]["id"]
    foreign = await api.call("GET", "/v1/me", actor=mine, key=other["key"]["secret"])
    assert (foreign.status_code, foreign.json()["code"]) == (403, "actor_unknown")
    await api.call("PATCH", f"/v1/users/{mine}", {"active": False})
    assert (await api.call("GET", "/v1/me", actor=mine)).json()["code"] == "actor_unknown"


async def test_the_same_idempotency_key_at_the_same_instant_takes_effect_once(api: Api) -> None:
    body = {"name": "x", "email": "x@acme.example", "role": "sdr"}
    headers = {"Idempotency-Key": "same"}
    answers = await asyncio.gather(*(api.call("POST", "/v1/users", body, headers=headers) for _ in range(10)))
    made = [answer for answer in answers if answer.status_code == 201]
    busy = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.content for answer in made}) == 1
    assert made
    assert {(answer.status_code, answer.json()["code"]) for answer in busy} <= {(409, "idempotency_in_progress")}
    assert all(answer.headers["retry-after"] == "1" for answer in busy)
    assert len((await api.get("/v1/users"))["data"]) == 1


async def test_an_idempotency_key_belongs_to_one_request_of_one_tenant(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    headers = {"Idempotency-Key": "k"}
    body = {"name": "x", "email": "x@acme.example", "role": "sdr"}
    first = await api.post("/v1/users", body, headers=headers)
    reused = await api.call("POST", "/v1/users", {**body, "role": "ae"}, headers=headers)
    elsewhere = await api.call("POST", "/v1/users", body, headers=headers, key=other["key"]["secret"])
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert elsewhere.status_code == 201
    assert elsewhere.json()["id"] != first["id"]


async def test_a_refused_request_does_not_use_up_its_idempotency_key(api: Api) -> None:
    headers = {"Idempotency-Key": "free"}
    assert (await api.call("POST", "/v1/users", {"name": "x"}, headers=headers)).status_code == 422
    body = {"name": "x", "email": "x@acme.example", "role": "sdr"}
    assert (await api.call("POST", "/v1/users", body, headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
async def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    raw = {b"Idempotency-Key": key.encode("latin-1"), b"Authorization": f"Bearer {api.key}".encode()}
    answer = await api.client.post("/v1/users", json={}, headers=raw)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_header")


async def test_a_request_does_not_wait_for_another_one_that_updates_the_last_use_of_the_same_key(api: Api) -> None:
    async with api.app.state.engine.begin() as other:
        await other.execute(text("UPDATE keys SET last_used_at = NULL"))
        auth.clear_cache()
        async with asyncio.timeout(TIMEOUT_SECONDS):  # shorter than lock_timeout
            assert (await api.call("GET", "/v1/me")).status_code == 200


async def test_an_idempotency_key_cannot_be_reused_for_another_actor(api: Api) -> None:
    lead = await api.mql()
    one, two = await api.user("sdr"), await api.user("sdr")
    headers = {"Idempotency-Key": "accept-it"}
    assert (await api.ask(lead, "accept", one, headers=headers)).status_code == 201
    other = await api.ask(lead, "accept", two, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_baton_actor_accepts_an_external_id_in_utf_8(api: Api) -> None:
    await api.user("sdr", external_id="über-7")
    headers = {b"Authorization": f"Bearer {api.key}".encode(), b"Baton-Actor": "ext:über-7".encode()}
    answer = await api.client.get("/v1/me", headers=headers)
    assert answer.json()["actor"]["role"] == "sdr"
