"""Providers that verify the ingest URL get the response that they expect."""

import hashlib
import hmac
from typing import Any

import pytest

from app.sources.answer import Answer
from app.sources.handshake import handshake_answer
from app.sources.preset import read_document
from app.sources.request import RawRequest
from tests.payloads.samples import NOW

SECRETS = {"verify_token": ["old", "meatyhamhock"]}
ECHO = {"kind": "echo", "param": "hub.challenge", "token_param": "hub.verify_token"}
HMAC = {
    "kind": "hmac_echo",
    "param": "challengeCode",
    "answer": {"challengeCode": "{challenge}", "challengeResponse": "{hmac}"},
}


def respond(handshake: dict[str, Any], query: str, method: str = "GET") -> Answer | None:
    document = read_document({"preset": "test", "handshake": handshake})
    return handshake_answer(document, SECRETS, RawRequest(method, {}, query, b"", NOW))


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


@pytest.mark.parametrize(
    ("method", "answer"), [("GET", Answer(200, "ok")), ("HEAD", Answer(200, "ok")), ("POST", None)]
)
def test_only_get_and_head_are_handshakes(method: str, answer: Answer | None) -> None:
    assert respond({"kind": "ok"}, "", method) == answer
    assert respond({"kind": "none"}, "", method) is None
