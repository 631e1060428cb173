"""Subscriptions of a NATS server: each event once in its stream, each lead in order, whatever is killed or down."""

from __future__ import annotations

import base64
import binascii
import signal
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from app import ids
from app.webhooks.credentials import Credentials
from app.webhooks.nkeys import key_of, signature
from app.webhooks.replays import replay
from app.webhooks.replays.schemas import ReplayCreate
from app.webhooks.schemas import Limits
from tests.contract.test_asyncapi import ASYNCAPI
from tests.webhooks import kafka_cluster
from tests.webhooks.conftest import RETRIES, World, inbox
from tests.webhooks.nats_server import Stored, nats_server
from tests.webhooks.receivers import LOOPBACK, egress, names
from tests.webhooks.test_crash import ALL_WRITTEN, dispatcher
from tests.webhooks.test_egress_tls import TODAY, certificate
from tests.webhooks.test_nats_protocol import MESSAGE
from tests.webhooks.test_nkeys import FILE, OTHER, PUBLIC, SEED
from tests.webhooks.test_outage import OPEN, total

LEADS = [ids.new_id() for _ in range(20)]
LIMITS = Limits(timeout_seconds=20, retry_schedule=RETRIES)
IMPATIENT = Limits(timeout_seconds=1, retry_schedule=RETRIES)


END_THOSE_THAT_WAIT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'"
)


def in_order(stored: list[Stored]) -> bool:
    newest: dict[str, int] = {}
    for each in stored:
        if each.version < newest.get(each.lead, 0):
            return False
        newest[each.lead] = each.version
    return True


def each_once(stored: Sequence[Stored | kafka_cluster.Stored]) -> bool:
    return len({each.id for each in stored}) == len(stored)


async def until_written(world: World) -> None:
    await world.until_row(ALL_WRITTEN)


async def attempts(world: World) -> list[tuple[int | None, str | None]]:
    rows = await world.rows("SELECT code, error_kind FROM attempts ORDER BY at, position, n")
    return [(row.code, row.error_kind) for row in rows]


async def test_each_event_is_one_message_with_its_id_its_signature_and_the_body_of_a_webhook(
    world: World, tmp_path: Path
) -> None:
    async with nats_server(tmp_path) as server, inbox() as box, world.running():
        await server.make_stream()
        _, secret = await world.subscribe(f"{server.url}", LIMITS, headers={"X-Team": "sales"})
        await world.subscribe(box.url, LIMITS)
        await world.record(LEADS[0], LEADS[0], LEADS[1])
        stored = await server.until_stored(3)
        await box.until_received(3)
        await until_written(world)
    described = set(ASYNCAPI["components"]["schemas"]["EventHeaders"]["properties"])
    bodies = {got.id: got.body for got in box.got}
    assert {each.id: each.body for each in stored} == bodies
    tenant = ids.show("tenant", world.tenant_id)
    assert [each.subject for each in stored if each.version == 2] == [
        f"lead.{tenant}.{ids.show('lead', LEADS[0])}.lead.updated"
    ]
    for each in stored:
        assert each.headers["Nats-Msg-Id"] == each.headers["webhook-id"] == each.id
        assert each.headers["X-Team"] == "sales"
        assert "user-agent" not in each.headers
        Webhook(secret).verify(each.body, each.headers)
        assert set(each.headers) - {"X-Team"} <= described, "the AsyncAPI document names every header"
    [row, *_] = await world.rows("SELECT code, error_kind, response_head FROM attempts WHERE response_head LIKE '{%'")
    assert (row.code, row.error_kind) == (200, None)
    assert orjson.loads(row.response_head)["stream"] == "LEADS"


async def test_what_a_killed_process_sent_and_did_not_record_is_dropped_by_the_stream_as_a_duplicate(
    world: World, tmp_path: Path
) -> None:
    async with nats_server(tmp_path) as server, world.running(dispatchers=0):
        await server.make_stream()
        await world.subscribe(server.url, LIMITS)
        count = await world.record_many(LEADS, 3)
        await world.until_row(f"SELECT 1 FROM event_log HAVING count(*) = {count}")
        server.send(signal.SIGSTOP)  # nothing is acknowledged before the lane is locked
        async with dispatcher(world) as process:
            await world.until_row("SELECT 1 FROM lanes WHERE lease_until > now()")
            async with world.engine.begin() as tx:  # from here on nothing can be recorded
                await tx.execute(text("SELECT 1 FROM lanes FOR UPDATE"))
                server.send(signal.SIGCONT)
                await server.until_stored(len(LEADS))
                process.kill()
                await process.wait()
                await tx.execute(text(END_THOSE_THAT_WAIT))
        assert await attempts(world) == []
        async with world.engine.begin() as tx:
            await tx.execute(text("UPDATE lanes SET lease_until = now()"))
        async with dispatcher(world):
            await until_written(world)
        stored = await server.stored()
    heads = [orjson.loads(row.response_head) for row in await world.rows("SELECT response_head FROM attempts")]
    assert sum(bool(head.get("duplicate")) for head in heads) >= len(LEADS), "they were sent twice"
    assert len(stored) == count
    assert each_once(stored)
    assert in_order(stored)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_broker_that_is_restarted_gets_every_event_once_and_each_lead_in_order(
    world: World, tmp_path: Path, how: signal.Signals
) -> None:
    async with nats_server(tmp_path) as server, world.running():
        await server.make_stream()
        await world.subscribe(server.url, LIMITS)
        count = await world.record_many(LEADS, 10)
        for part in (1, 2):
            await server.until_stored(part * count // 4)
            await server.stop(how)
            await server.start()
        count += await world.record_many(LEADS, 2)
        await until_written(world)
        stored = await server.until_stored(count)
    assert each_once(stored)
    assert in_order(stored)
    assert len(stored) == count
    assert await world.states() == {}


async def test_a_broker_that_is_down_opens_the_breaker_and_gets_what_it_missed_when_it_is_back(
    world: World, tmp_path: Path
) -> None:
    async with nats_server(tmp_path) as server, inbox() as box, world.running():
        await server.make_stream()
        subscription_id, _ = await world.subscribe(server.url, LIMITS)
        await world.subscribe(box.url, LIMITS)
        await server.stop(signal.SIGKILL)
        await world.record_many(LEADS, 1)
        await world.until_row(OPEN)
        rows = await total(world, "delivery_retries")
        assert rows <= 8 + 5
        count = await world.record_many(LEADS, 20)
        await box.until_received(count + len(LEADS))  # another receiver is served meanwhile
        assert await total(world, "delivery_retries") <= rows
        await server.start()
        stored = await server.until_stored(count + len(LEADS))
        await until_written(world)
    assert each_once(stored)
    assert in_order(stored)
    failed = await world.rows(
        "SELECT DISTINCT error_kind FROM attempts WHERE subscription_id = :id AND code IS NULL", id=subscription_id
    )
    assert {row.error_kind for row in failed} == {"connect_failed"}


async def test_a_broker_that_does_not_answer_for_a_while_gets_every_event_once_and_in_order(
    world: World, tmp_path: Path
) -> None:
    async with nats_server(tmp_path) as server, world.running():
        await server.make_stream()
        await world.subscribe(server.url, IMPATIENT)
        count = await world.record_many(LEADS, 1)
        await server.until_stored(count)
        server.send(signal.SIGSTOP)
        count += await world.record_many(LEADS, 3)
        await world.until_row("SELECT 1 FROM attempts WHERE error_kind IN ('timeout', 'connect_timeout') LIMIT 1")
        server.send(signal.SIGCONT)
        stored = await server.until_stored(count)
        await until_written(world)
    assert each_once(stored)
    assert in_order(stored)


async def test_two_subscriptions_of_a_broker_are_lanes_of_their_own(world: World, tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, world.running():
        await server.make_stream()
        dead, _ = await world.subscribe(f"{server.url}/nowhere.{{type}}", LIMITS)
        await world.subscribe(server.url, LIMITS, types=["lead.updated"])
        count = await world.record_many(LEADS, 5)
        stored = await server.until_stored(count)
        await world.until_row(OPEN)
        found = await world.rows(
            "SELECT DISTINCT code, error_kind FROM attempts WHERE subscription_id = :dead", dead=dead
        )
    assert each_once(stored)
    assert in_order(stored)
    assert [tuple(row) for row in found] == [(503, "stream_missing")]


async def test_an_event_that_the_stream_refuses_parks_its_lead_and_no_other(world: World, tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, world.running():
        await server.make_stream(max_msg_size=1500)
        await world.subscribe(server.url, Limits(timeout_seconds=20, retry_schedule=[0.0, 600.0]))
        await world.record(LEADS[0], note="x" * 1000)
        await world.record(*LEADS)
        stored = await server.until_stored(len(LEADS) - 1)
        await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'held'")
    assert {each.lead for each in stored} == {ids.show("lead", lead) for lead in LEADS[1:]}
    assert (400, "payload_too_large") in await attempts(world)
    assert await world.states() == {"retry": 1, "held": 1}


async def test_a_replay_is_stored_once_more_and_its_messages_say_so(world: World, tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, world.running():
        await server.make_stream()
        subscription_id, _ = await world.subscribe(server.url, LIMITS)
        count = await world.record_many(LEADS, 2)
        await until_written(world)
        async with world.engine.begin() as tx:
            made = await replay.create(tx, world.tenant_id, subscription_id, ReplayCreate(), datetime.now(UTC))
        await world.until_row("SELECT 1 FROM replays WHERE state = 'done'")
        stored = await server.until_stored(2 * count)
    first, again = stored[:count], stored[count:]
    shown = ids.show("replay", made)
    assert {each.headers.get("webhook-replay") for each in first} == {None}
    assert {each.headers["webhook-replay"] for each in again} == {shown}
    assert {each.headers["Nats-Msg-Id"] for each in again} == {f"{each.id}.{shown}" for each in first}
    assert {each.id: each.body for each in first} == {each.id: each.body for each in again}
    assert in_order(first)
    assert in_order(again)


USERS = """
authorization { users: [
  {user: "baton", password: "right", permissions: {publish: ["lead.>"], subscribe: ["_INBOX.>"]}}
  {user: "deaf", password: "right", permissions: {publish: ["lead.>"], subscribe: ["none"]}}
  {user: "all", password: "right"}
] }
"""


@pytest.mark.parametrize(
    ("credentials", "path", "code", "error"),
    [
        (None, "", None, "authorization_failed"),
        (Credentials(username="baton", password="wrong"), "", None, "authorization_failed"),
        (Credentials(token="right"), "", None, "authorization_failed"),
        (Credentials(nkey_seed=SEED), "", None, "authorization_failed"),
        (Credentials(username="baton", password="right"), "", 200, None),
        (Credentials(username="baton", password="right"), "other.{lead}", 403, "permission_denied"),
        (Credentials(username="deaf", password="right"), "", None, "permission_denied"),
        (Credentials(username="all", password="right"), "other.{lead}", 503, "stream_missing"),
    ],
)
async def test_what_a_user_of_the_server_may_not_do_is_a_failure_of_its_kind(
    tmp_path: Path, credentials: Credentials | None, path: str, code: int | None, error: str | None
) -> None:
    async with nats_server(tmp_path, USERS, user="all", password="right") as server, egress() as client:
        await server.make_stream()
        url = f"{server.url}/{path or 'lead.{lead}'}"
        outcome = await client.send(replace(MESSAGE, url=url, credentials=credentials))
    assert (outcome.code, outcome.error) == (code, error)


async def test_a_user_signs_in_with_the_key_of_a_seed(tmp_path: Path) -> None:
    config = f"""authorization {{ users: [{{nkey: "{PUBLIC}"}}, {{user: "all", password: "right"}}] }}"""
    async with nats_server(tmp_path, config, user="all", password="right") as server, egress() as client:
        await server.make_stream()
        message = replace(MESSAGE, url=f"{server.url}/lead.x")
        for seed, error in ((SEED, None), (OTHER[0], "authorization_failed")):
            outcome = await client.send(replace(message, credentials=Credentials(nkey_seed=seed)))
            assert (outcome.delivered, outcome.error) == (error is None, error)


ACCOUNT, OPERATOR = 0, 14 << 3  # the first bytes of public keys


def public_of(key: Ed25519PrivateKey, prefix: int) -> str:
    raw = bytes([prefix]) + key.public_key().public_bytes_raw()
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def signed_token(issuer: Ed25519PrivateKey, prefix: int, subject: str, **claims: Any) -> str:
    """A JWT of NATS: claims about `subject`, signed by `issuer`."""
    body = {"jti": "1", "iat": 1, "iss": public_of(issuer, prefix), "name": "test", "sub": subject}
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**body, "nats": {**claims, "version": 2}}]
    text = ".".join(base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in parts)
    return f"{text}.{base64.urlsafe_b64encode(issuer.sign(text.encode())).decode().rstrip('=')}"


async def test_a_user_signs_in_with_a_credentials_file(tmp_path: Path) -> None:
    operator, account, system = (Ed25519PrivateKey.generate() for _ in range(3))
    unlimited = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
    stored = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    config = f"""operator: "{signed_token(operator, OPERATOR, public_of(operator, OPERATOR), type="operator")}"
        system_account: {public_of(system, ACCOUNT)}
        resolver: MEMORY
        resolver_preload: {{"""
    for key, more in ((account, stored), (system, {})):
        name, limits = public_of(key, ACCOUNT), {**dict.fromkeys(unlimited, -1), "wildcards": True, **more}
        config += f"""{name}: "{signed_token(operator, OPERATOR, name, type="account", limits=limits)}"\n"""
    allowed = {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
    token = signed_token(account, ACCOUNT, PUBLIC, type="user", **allowed)
    creds = FILE.replace("head.claims-_9.sig", token)
    login = {"user_jwt_cb": lambda: token.encode(), "signature_cb": lambda n: signature(key_of(SEED), n).encode()}
    async with nats_server(tmp_path, config + "}", **login) as server, egress() as client:
        await server.make_stream()
        message = replace(MESSAGE, url=f"{server.url}/lead.x")
        assert (await client.send(replace(message, credentials=Credentials(creds=creds)))).delivered
        wrong = Credentials(creds=creds.replace(SEED, OTHER[0]))
        assert (await client.send(replace(message, credentials=wrong))).error == "authorization_failed"


async def test_a_token_lets_in(tmp_path: Path) -> None:
    async with nats_server(tmp_path, 'authorization { token: "t" }', token="t") as server, egress() as client:
        await server.make_stream()
        message = replace(MESSAGE, url=f"{server.url}/lead.x")
        assert (await client.send(replace(message, credentials=Credentials(token="t")))).delivered
        assert (await client.send(message)).error == "authorization_failed"


@pytest.mark.parametrize(
    ("scheme", "host", "trusted", "error"),
    [
        ("nats+tls", "hook.test", True, None),
        ("nats+tls", "hook.test", False, "tls_certificate"),
        ("nats+tls", "other.test", True, "tls_certificate"),
        ("nats", "hook.test", True, "tls_required"),
    ],
)
async def test_tls_is_as_the_url_says_and_the_certificate_is_verified(
    tmp_path: Path, scheme: str, host: str, trusted: bool, error: str | None
) -> None:
    crt, pem = certificate(tmp_path, "hook.test", TODAY + timedelta(days=9))
    trust = ssl.create_default_context(cafile=str(crt) if trusted else None)
    ours = ssl.create_default_context(cafile=str(crt))
    config = f'tls {{ cert_file: "{crt}", key_file: "{pem}" }}'
    lookup = names(hook_test="127.0.0.1", other_test="127.0.0.1")
    async with (
        nats_server(tmp_path, config, tls=ours, tls_hostname="hook.test") as server,
        egress(LOOPBACK, lookup=lookup, tls=trust) as client,
    ):
        await server.make_stream()
        outcome = await client.send(replace(MESSAGE, url=f"{scheme}://{host}:{server.port}/lead.x"))
    assert (outcome.error, outcome.delivered) == (error, error is None)


async def test_credentials_are_not_sent_to_a_server_without_tls_where_the_url_wants_it(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, egress(lookup=names(hook_test="127.0.0.1")) as client:
        message = replace(MESSAGE, credentials=Credentials(username="u", password="p"))
        outcome = await client.send(replace(message, url=f"nats+tls://hook.test:{server.port}/a"))
    assert (outcome.code, outcome.error) == (None, "tls_refused")


async def test_a_server_without_streams_has_none_for_the_subject(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, egress() as client:
        outcome = await client.send(replace(MESSAGE, url=f"{server.url}/lead.x"))
    assert (outcome.code, outcome.error) == (503, "stream_missing")


async def test_a_message_is_refused_that_is_larger_than_the_server_takes(tmp_path: Path) -> None:
    async with nats_server(tmp_path, "max_payload: 1000") as server, egress() as client:
        await server.make_stream()
        for size, code in ((500, 200), (2000, 413)):
            outcome = await client.send(replace(MESSAGE, id=str(size), url=f"{server.url}/lead.x", body=b"x" * size))
            assert outcome.code == code
