"""The subscription endpoints for brokers: what is taken, what is refused, and that credentials are never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api
from tests.webhooks.kafka_cluster import kafka_cluster
from tests.webhooks.nats_server import nats_server
from tests.webhooks.test_nkeys import SEED

PATH = "/v1/subscriptions"
NATS, OTHER = "nats://127.0.0.1:4222/leads", "nats://127.0.0.1:4223/leads"
KAFKA, OTHER_KAFKA = "kafka://127.0.0.1:9092/leads", "kafka://127.0.0.1:9093/leads"
HOOK = "http://127.0.0.1:9/hook"
USER = {"username": "baton-user", "password": "pass-word-1"}
TOKEN = {"token": "to-ken-1"}


async def stored(api: Api, made: dict[str, Any]) -> str | None:
    """The column of the credentials, as it stands in the database."""
    async with api.app.state.engine.connect() as tx:
        return (await tx.execute(text("SELECT credentials FROM subscriptions"))).scalar_one()


async def patch(api: Api, made: dict[str, Any], body: Any, status: int = 200) -> Any:
    answer = await api.call("PATCH", f"{PATH}/{made['id']}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def fault(problem: Any) -> tuple[str, str]:
    [error] = problem["errors"]
    return error["field"], error["code"]


async def test_credentials_are_encrypted_and_shown_nowhere(api: Api) -> None:
    made = await api.post(PATH, {"url": NATS, "credentials": USER})
    assert made["url"] == NATS
    shown = [made, await api.get(f"{PATH}/{made['id']}"), await api.get(PATH), await patch(api, made, {"types": ["*"]})]
    column = await stored(api, made)
    assert column is not None
    for secret in USER.values():
        assert secret not in column
        assert all(secret not in str(each) for each in shown)
    assert all("credentials" not in str(each) for each in shown)


@pytest.mark.parametrize(
    ("target", "credentials", "code"),
    [
        (HOOK, USER, "credentials_unused"),
        (HOOK, TOKEN, "credentials_unused"),
        (NATS, {"username": "u"}, "credentials_invalid"),
        (NATS, {"password": "p"}, "credentials_invalid"),
        (NATS, {**USER, **TOKEN}, "credentials_invalid"),
        (NATS, {**TOKEN, "nkey_seed": SEED}, "credentials_invalid"),
        (NATS, {"nkey_seed": SEED[:-1]}, "credentials_invalid"),
        (NATS, {"creds": SEED}, "credentials_invalid"),
        (HOOK, {"nkey_seed": SEED}, "credentials_unused"),
        (NATS, {**USER, "mechanism": "PLAIN"}, "credentials_invalid"),
        (KAFKA, TOKEN, "credentials_invalid"),
        (KAFKA, {"username": "u"}, "credentials_invalid"),
        (KAFKA, {"mechanism": "PLAIN"}, "credentials_invalid"),
        (KAFKA, {"nkey_seed": SEED}, "credentials_invalid"),
    ],
)
async def test_credentials_that_the_receiver_does_not_take_are_refused(
    api: Api, target: str, credentials: dict[str, str], code: str
) -> None:
    problem = await api.post(PATH, {"url": target, "credentials": credentials}, status=422)
    assert fault(problem) == ("credentials", code)
    made = await api.post(PATH, {"url": target})
    assert fault(await patch(api, made, {"credentials": credentials}, 422)) == ("credentials", code)


@pytest.mark.parametrize(
    ("credentials", "field"),
    [
        ({"token": ""}, "credentials.token"),
        ({"token": "x" * 1001}, "credentials.token"),
        ({"token": 7}, "credentials.token"),
        ({"secret": "x"}, "credentials.secret"),
        ({**USER, "mechanism": "GSSAPI"}, "credentials.mechanism"),
        ("x", "credentials"),
        ([], "credentials"),
    ],
)
async def test_faults_in_credentials_are_named_and_not_repeated(api: Api, credentials: Any, field: str) -> None:
    problem = await api.post(PATH, {"url": NATS, "credentials": credentials}, status=422)
    assert fault(problem)[0] == field
    assert "x" * 1001 not in str(problem)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("nats://127.0.0.1/a.*", "url_invalid"),
        ("nats://u:p@127.0.0.1/a", "url_invalid"),
        ("nats://10.0.0.1/a", "target_refused"),
        ("nats+tls://10.0.0.1:443/a", "target_refused"),
        ("nats://127.0.0.1,10.0.0.1/a", "target_refused"),
        ("kafka://127.0.0.1", "url_invalid"),
        ("kafka://u:p@127.0.0.1/a", "url_invalid"),
        ("kafka://10.0.0.1/a", "target_refused"),
        ("kafka://127.0.0.1,10.0.0.1/a", "target_refused"),
    ],
)
async def test_a_url_of_a_broker_that_is_wrong_or_private_is_refused(api: Api, target: str, code: str) -> None:
    problem = await api.post(PATH, {"url": target}, status=422)
    assert fault(problem) == ("url", code)


async def test_credentials_stay_with_their_broker(api: Api) -> None:
    made = await api.post(PATH, {"url": NATS, "credentials": USER})
    before = await stored(api, made)
    for url in (OTHER, HOOK, NATS.replace("nats://", "nats+tls://"), NATS.replace("127.0.0.1", "127.0.0.1,127.0.0.2")):
        assert fault(await patch(api, made, {"url": url}, 422)) == ("credentials", "credentials_needed")
    assert await stored(api, made) == before
    changed = await patch(api, made, {"url": NATS.replace("/leads", "/crm")})
    assert (changed["url"], changed["version"]) == (NATS.replace("/leads", "/crm"), 2)
    assert await stored(api, made) == before
    await patch(api, made, {"url": OTHER, "credentials": TOKEN})
    assert await stored(api, made) not in (before, None)
    await patch(api, made, {"url": HOOK, "credentials": {}})
    assert await stored(api, made) is None


async def test_a_patch_that_gives_the_same_credentials_changes_nothing(api: Api) -> None:
    made = await api.post(PATH, {"url": NATS, "credentials": USER})
    before = await stored(api, made)
    assert (await patch(api, made, {"credentials": USER}))["version"] == 1
    assert await stored(api, made) == before
    assert (await patch(api, made, {"credentials": {**USER, "password": "other"}}))["version"] == 2
    assert (await patch(api, made, {"credentials": {}}))["version"] == 3
    assert (await patch(api, made, {"credentials": {}}))["version"] == 3
    assert await stored(api, made) is None


@pytest.mark.parametrize(
    ("target", "texts"),
    [
        ("ftp://one/a", ("https://", "nats://", "nats+tls://", "kafka://", "kafka+tls://")),
        ("kafka+ssl://one/a", ("https://", "nats://", "nats+tls://", "kafka://", "kafka+tls://")),
        ("kafka://127.0.0.1/a/b", ("kafka+tls://host:port/topic",)),
        ("nats://127.0.0.1/a/b?c", ("nats+tls://host:port/subject",)),
        ("kafka://user:secret@127.0.0.1/a", ("`credentials`",)),
        ("kafka+tls://user@127.0.0.1/a", ("`credentials`",)),
        ("nats://user:secret@127.0.0.1/a", ("`credentials`",)),
        ("kafka://10.0.0.1/a", ("name, not an IP address",)),
        ("kafka://broker.example.com/a", ("kafka+tls://", "Port 9092")),
        ("nats+tls://broker.example.com/a", ("Port 4222",)),
    ],
)
async def test_a_refusal_says_what_is_right_for_the_scheme(api: Api, target: str, texts: tuple[str, ...]) -> None:
    problem = await api.post(PATH, {"url": target}, status=422)
    [error] = problem["errors"]
    assert error["field"] == "url"
    for part in texts:
        assert part in error["detail"]
    assert "https" not in problem["title"]
    assert "secret" not in str(problem)
    if target.startswith("kafka://"):
        assert "nats" not in error["detail"]


async def test_credentials_of_kafka_are_kept_and_stay_with_their_cluster(api: Api) -> None:
    login = {**USER, "mechanism": "SCRAM-SHA-512"}
    made = await api.post(PATH, {"url": KAFKA, "credentials": login})
    column = await stored(api, made)
    assert column is not None
    assert all(secret not in column + str(made) for secret in USER.values())
    assert "SCRAM" not in str(made)
    for url in (OTHER_KAFKA, NATS, HOOK, KAFKA.replace("kafka://", "kafka+tls://")):
        assert fault(await patch(api, made, {"url": url}, 422)) == ("credentials", "credentials_needed")
    assert (await patch(api, made, {"url": KAFKA.replace("/leads", "/crm")}))["version"] == 2
    assert (await patch(api, made, {"credentials": login}))["version"] == 2
    assert (await patch(api, made, {"credentials": USER}))["version"] == 3


async def test_a_ping_is_a_message_that_the_topic_has(api: Api) -> None:
    with kafka_cluster() as cluster:
        made = await api.post(PATH, {"url": cluster.url})
        answer = await api.post(f"{PATH}/{made['id']}/ping", None, status=200)
        [message] = await cluster.stored()
    assert (answer["delivered"], answer["code"], answer["error"]) == (True, 200, None)
    assert message.event["type"] == "subscription.ping"
    assert message.headers["webhook-subscription"] == made["id"]


async def test_a_ping_is_a_message_that_the_stream_acknowledges(api: Api, tmp_path: Path) -> None:
    async with nats_server(tmp_path, 'authorization { token: "to-ken-1" }', token="to-ken-1") as server:
        await server.make_stream()
        made = await api.post(PATH, {"url": server.url, "credentials": TOKEN})
        answer = await api.post(f"{PATH}/{made['id']}/ping", None, status=200)
        [stored] = await server.stored()
        await patch(api, made, {"credentials": {}})
        refused = await api.post(f"{PATH}/{made['id']}/ping", None, status=200)
    assert (answer["delivered"], answer["code"], answer["error"]) == (True, 200, None)
    assert stored.subject.endswith(".none.subscription.ping")
    assert stored.event["type"] == "subscription.ping"
    assert (refused["delivered"], refused["code"], refused["error"]) == (False, None, "authorization_failed")


async def test_headers_by_which_a_stream_is_changed_cannot_be_set(api: Api) -> None:
    problem = await api.post(PATH, {"url": NATS, "headers": {"Nats-Rollup": "all"}}, status=422)
    assert fault(problem)[1] == "header_reserved"
    problem = await api.post(PATH, {"url": KAFKA, "headers": {"ce_id": "x"}}, status=422)
    assert fault(problem)[1] == "header_reserved"


async def test_a_broker_is_not_asked_by_the_handshake(api: Api) -> None:
    expected = ("handshake", "handshake_needs_http")
    assert fault(await api.post(PATH, {"url": NATS, "handshake": True}, status=422)) == expected
    broker, receiver = await api.post(PATH, {"url": NATS}), await api.post(PATH, {"url": HOOK, "handshake": True})
    assert fault(await patch(api, broker, {"handshake": True}, 422)) == expected
    assert fault(await patch(api, receiver, {"url": NATS}, 422)) == expected
    assert (await patch(api, receiver, {"url": NATS, "handshake": False}))["state"] == "active"
