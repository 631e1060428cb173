"""Providers that verify the ingest URL get the response that they expect."""

import base64
import hashlib
import hmac
from typing import Any

import pytest

from app.sources.answer import Answer
from app.sources.document import secrets_of
from app.sources.handshake import handshake_answer
from app.sources.preset import read_document
from app.sources.request import RawRequest
from app.sources.verify import Secrets
from tests.api import Api
from tests.payloads.samples import NOW

SECRETS = {"verify_token": ["old", "meatyhamhock"]}
ECHO = {"kind": "echo", "param": "hub.challenge", "token_param": "hub.verify_token"}
HMAC = {
    "kind": "hmac_echo",
    "param": "challengeCode",
    "answer": {"challengeCode": "{challenge}", "challengeResponse": "{hmac}"},
}


def respond(handshake: dict[str, Any], query: str, method: str = "GET", secrets: Secrets = SECRETS) -> Answer | None:
    document = read_document({"preset": "test", "handshake": handshake})
    return handshake_answer(document, secrets, RawRequest(method, {}, query, b"", NOW))


def test_a_challenge_is_echoed_as_plain_text_when_the_token_is_right() -> None:
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    assert respond(ECHO, query + "meatyhamhock") == Answer(200, body="1158201444")
    assert respond(ECHO, query + "wrong") == Answer(401)
    assert respond(ECHO, "hub.mode=subscribe") is None


def test_a_challenge_is_answered_with_its_hmac() -> None:
    wanted = hmac.new(b"old", b"{hmac}x", hashlib.sha256).hexdigest()
    assert respond(HMAC, "challengeCode=%7Bhmac%7Dx") == Answer(
        200, body={"challengeCode": "{hmac}x", "challengeResponse": wanted}
    )


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("token", [{}, {"token_param": "token"}])
def test_a_challenge_to_sign_is_never_answered_unsigned(encoding: str, token: dict[str, str]) -> None:
    handshake = {"kind": "hmac_echo", "param": "challenge", "encoding": encoding, **token}
    raw = hmac.digest(b"old", b"1158201444", "sha256")
    signed = raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()
    assert respond(handshake, "challenge=1158201444&token=old") == Answer(200, body=signed)
    assert respond(handshake, "challenge=1158201444&token=old", secrets={}) == Answer(401)


@pytest.mark.parametrize(
    ("kind", "answer", "status"),
    [
        ("hmac_echo", "{challenge}", 422),
        ("hmac_echo", "ok", 422),
        ("hmac_echo", "", 422),
        ("hmac_echo", {}, 422),
        ("hmac_echo", {"challenge": "{challenge}"}, 422),
        ("hmac_echo", "{challenge}.{hmac}", 201),
        ("hmac_echo", {"challenge": "{challenge}", "proof": "sha256={hmac}"}, 201),
        ("hmac_echo", None, 201),
        ("echo", "{hmac}", 422),
        ("echo", "{challenge}", 201),
        ("echo", None, 201),
    ],
)
async def test_an_answer_that_proves_nothing_is_refused(api: Api, kind: str, answer: Any, status: int) -> None:
    handshake = {"kind": kind, "param": "challenge", **({} if answer is None else {"answer": answer})}
    body = {
        "name": "site",
        "preset": "generic",
        "overrides": {"handshake": handshake},
    }
    made = await api.call("POST", "/v1/sources", body)
    assert made.status_code == status
    if status == 422:
        assert [fault["field"] for fault in made.json()["errors"]] == ["overrides.handshake.answer"]


@pytest.mark.parametrize(
    ("method", "answer"), [("GET", Answer(200, "ok")), ("HEAD", Answer(200, "ok")), ("POST", None)]
)
def test_only_get_and_head_are_handshakes(method: str, answer: Answer | None) -> None:
    assert respond({"kind": "ok"}, "", method) == answer
    assert respond({"kind": "none"}, "", method) is None


@pytest.mark.parametrize(
    ("named", "secrets", "key"),
    [
        (None, {"signing": "s"}, "s"),
        (None, {"verify_token": "v"}, "v"),
        (None, {"signing": "s", "verify_token": "v"}, "s"),
        (None, {"signing": ["s", "new"]}, "s"),
        ("client", {"client": "c", "signing": "s", "verify_token": "v"}, "c"),
        ("client", {"signing": "s", "verify_token": "v"}, "s"),
        ("client", {"verify_token": "v"}, "v"),
        ("verify_token", {"signing": "s", "verify_token": "v"}, "v"),
        ("client", {"other": "o"}, None),
        (None, {}, None),
    ],
)
def test_a_challenge_is_signed_with_the_named_secret_else_signing_else_verify_token(
    named: str | None, secrets: Secrets, key: str | None
) -> None:
    handshake = {**HMAC, **({"secret": named} if named else {})}
    answer = respond(handshake, "challengeCode=x", secrets=secrets)
    if key is None:
        assert answer == Answer(401)
    else:
        wanted = hmac.new(key.encode(), b"x", hashlib.sha256).hexdigest()
        assert answer == Answer(200, body={"challengeCode": "x", "challengeResponse": wanted})
    missing = secrets_of(read_document({"preset": "test", "handshake": handshake}), secrets) - set(secrets)
    assert bool(missing) == (key is None)


def test_the_token_of_a_challenge_is_compared_with_the_named_secret_only() -> None:
    asked = {**HMAC, "token_param": "token"}
    assert respond(asked, "challengeCode=x&token=s", secrets={"signing": "s"}) == Answer(401)
    both = {"signing": "s", "verify_token": "v"}
    answer = respond(asked, "challengeCode=x&token=v", secrets=both)
    assert answer is not None
    assert answer.body["challengeResponse"] == hmac.new(b"s", b"x", hashlib.sha256).hexdigest()
