"""Signatures of real senders are accepted; forged, stale and rotated-out ones are refused."""

import base64
import hashlib
import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from app.sources.document import Document
from app.sources.preset import read_document
from app.sources.request import RawRequest
from app.sources.verify import verify
from tests.payloads.samples import NOW, Sample, sample, samples

SIGNED = [one for one in samples() if one.entry["secret"] and one.document().verify]
SECRET = "test-secret-1"


def make_document(*rules: dict[str, Any], **members: Any) -> Document:
    return read_document({"preset": "test", "verify": list(rules), **members})


def make_request(
    body: bytes = b"{}", headers: dict[str, str] | None = None, query: str = "", **changes: Any
) -> RawRequest:
    request = RawRequest("POST", headers or {}, query, body, NOW, "https://leads.example.net/v1/ingest/k")
    return replace(request, **changes)


@pytest.mark.parametrize("one", SIGNED, ids=lambda one: one.file)
def test_a_real_signature_is_valid(one: Sample) -> None:
    request = one.request()
    assert verify(one.document(), {"signing": one.entry["secret"]}, request, request.received_at)


@pytest.mark.parametrize("one", SIGNED, ids=lambda one: one.file)
def test_a_changed_body_another_secret_and_no_secret_are_refused(one: Sample) -> None:
    request, document = one.request(), one.document()
    now = request.received_at
    assert not verify(document, {"signing": one.entry["secret"]}, replace(request, body=request.body + b" "), now)
    assert not verify(document, {"signing": "another"}, request, now)
    for unset in ({}, {"signing": ""}):  # a provider that signs only when asked to is taken unsigned then
        assert verify(document, unset, request, now) is document.open_without_secrets
    assert not verify(document, {"signing": one.entry["secret"]}, replace(request, headers={}), now)


def test_both_values_of_a_secret_in_rotation_are_valid() -> None:
    one = sample("08")
    request = one.request()
    assert verify(one.document(), {"signing": ["new", SECRET]}, request, NOW)
    assert verify(one.document(), {"signing": [SECRET, "new"]}, request, NOW)
    assert not verify(one.document(), {"signing": ["new", "newer"]}, request, NOW)


def test_a_version_2_signature_is_valid_without_version_3() -> None:
    one = sample("01")
    headers = {name: value for name, value in one.entry["headers"].items() if not name.endswith("v3")}
    assert verify(one.document(), {"signing": SECRET}, one.request(headers=headers), NOW)
    assert not verify(one.document(), {"signing": SECRET}, one.request(headers=headers, method="PUT"), NOW)


def test_a_signature_over_the_url_is_valid_for_that_url_only() -> None:
    one = sample("01")
    request = one.request()
    assert not verify(one.document(), {"signing": SECRET}, replace(request, url=request.url + "x"), request.received_at)


@pytest.mark.parametrize(("seconds", "holds"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_signature_is_valid_for_five_minutes(seconds: int, holds: bool) -> None:
    request = sample("01").request()
    now = request.received_at + timedelta(seconds=seconds)
    assert verify(sample("01").document(), {"signing": SECRET}, request, now) is holds


@pytest.mark.parametrize("stamp", ["", "x", "-1", "1e9", "9" * 17, "١٧٨٧٠٠٠٠٠٠"])
def test_a_signature_with_an_invalid_timestamp_is_refused(stamp: str) -> None:
    rule = {"kind": "hmac", "header": "S", "timestamp": {"from": "header:T"}, "signed": "{t}.{body}"}
    signature = hmac.new(b"k", f"{stamp}.{{}}".encode(), hashlib.sha256).hexdigest()
    assert not verify(make_document(rule), {"signing": "k"}, make_request(headers={"S": signature, "T": stamp}), NOW)


def test_a_header_of_keys_and_values_is_parsed() -> None:
    rule = {
        "kind": "hmac",
        "header": "S",
        "parse": "kv",
        "pick": "v1",
        "signed": "{t}.{body}",
        "timestamp": {"from": "t", "tolerance_s": 180},
    }
    stamp = str(int(NOW.timestamp()))
    signature = hmac.new(b"k", f"{stamp}.{{}}".encode(), hashlib.sha256).hexdigest()
    request = make_request(headers={"s": f"t={stamp},v0=aa,v1=00,v1={signature.upper()}"})
    assert verify(make_document(rule), {"signing": "k"}, request, NOW)
    assert not verify(make_document(rule), {"signing": "k"}, request, NOW + timedelta(seconds=181))


def test_standard_webhooks_fit_the_hmac_rule() -> None:
    secret, body = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode(), b'{"a": 1}'
    moment = datetime.fromtimestamp(int(time.time()), UTC)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    rule = {
        "kind": "hmac",
        "header": "webhook-signature",
        "parse": "list",
        "prefix": "v1,",
        "encoding": "base64",
        "key_encoding": "base64",
        "signed": "{header:webhook-id}.{header:webhook-timestamp}.{body}",
        "timestamp": {"from": "header:webhook-timestamp"},
    }
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": f"v1,{base64.b64encode(b'x' * 32).decode()} {signature}",
    }
    assert verify(make_document(rule), {"signing": secret}, make_request(body, headers), moment)
    assert not verify(make_document(rule), {"signing": secret}, make_request(body + b" ", headers), moment)


def test_a_signature_may_cover_the_body_with_unicode_escaped() -> None:
    rule = {"kind": "hmac", "header": "S", "signed": "{body:ascii_json}"}
    signature = hmac.new(b"k", rb'"Z\u00fcrich \ud83d\ude00"', hashlib.sha256).hexdigest()
    assert verify(make_document(rule), {"signing": "k"}, make_request('"Zürich 😀"'.encode(), {"S": signature}), NOW)


def test_a_digest_covers_secret_and_body() -> None:
    rule = {"kind": "digest", "header": "S", "signed": "{secret}{body}"}
    signature = hashlib.sha256(b"k{}").hexdigest()
    assert verify(make_document(rule), {"signing": "k"}, make_request(headers={"S": signature}), NOW)
    assert not verify(make_document(rule), {"signing": "l"}, make_request(headers={"S": signature}), NOW)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"in": "header", "name": "X-Api-Key"}, {"headers": {"x-api-key": "tök"}}, {"headers": {"x-api-key": "tok"}}),
        (
            {"in": "header", "name": "Authorization", "prefix": "Bearer "},
            {"headers": {"authorization": "bearer tök"}},
            {"headers": {"authorization": "tök"}},
        ),
        ({"in": "query", "name": "s"}, {"query": "s=t%C3%B6k"}, {"query": "s=t"}),
        ({"in": "body", "name": "keys.google_key"}, {"body": '{"keys":{"google_key":"tök"}}'.encode()}, {"body": b"{"}),
    ],
)
def test_a_token_is_read_from_header_query_or_body_as_declared(
    rule: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    document = make_document({"kind": "token", **rule}, parse={"formats": ["json"], "drop": ["keys.google_key"]})
    assert verify(document, {"token": "tök"}, make_request(**good), NOW)
    assert not verify(document, {"token": "tök"}, make_request(**bad), NOW)
    assert not verify(document, {"token": ""}, make_request(), NOW)


def test_basic_compares_user_and_password() -> None:
    document = make_document({"kind": "basic"})
    good = {"Authorization": "Basic " + base64.b64encode("usér:pass:word".encode()).decode()}
    assert verify(document, {"basic": "usér:pass:word"}, make_request(headers=good), NOW)
    assert not verify(document, {"basic": "usér:other"}, make_request(headers=good), NOW)
    assert not verify(document, {"basic": "usér:pass:word"}, make_request(headers={"Authorization": "Basic ???"}), NOW)


def test_one_valid_rule_is_enough_and_a_document_without_rules_accepts_every_request() -> None:
    document = make_document({"kind": "basic"}, {"kind": "token", "in": "query", "name": "s"})
    assert verify(document, {"token": "t"}, make_request(query="s=t"), NOW)
    assert verify(make_document(), {}, make_request(), NOW)


RULES = [{"kind": "hmac", "header": "S"}, {"kind": "token", "in": "query", "name": "s"}]


@pytest.mark.parametrize("open_without_secrets", [True, False])
@pytest.mark.parametrize("secrets", [{}, {"other": "x"}, {"signing": ""}, {"token": "t"}, {"signing": ["a", "b"]}])
def test_only_an_open_document_takes_an_unsigned_request_and_only_while_no_secret_of_it_is_set(
    secrets: dict[str, Any], open_without_secrets: bool
) -> None:
    document = make_document(*RULES, open_without_secrets=open_without_secrets)
    is_set = any(secrets.get(name) for name in ("signing", "token"))
    assert verify(document, secrets, make_request(), NOW) is (open_without_secrets and not is_set)


@given(body=st.binary(max_size=200), header=st.text(max_size=80), query=st.text(max_size=40))
def test_verifying_never_raises(body: bytes, header: str, query: str) -> None:
    rules: list[dict[str, Any]] = [
        {"kind": "hmac", "header": "S", "parse": "kv", "pick": "v1", "timestamp": {"from": "t"}},
        {
            "kind": "hmac",
            "header": "S",
            "parse": "list",
            "encoding": "base64",
            "signed": "{url}{body:ascii_json}{header:S}",
        },
        {"kind": "digest", "header": "S", "signed": "{secret}{body}"},
        {"kind": "token", "in": "body", "name": "a.b"},
        {"kind": "token", "in": "query", "name": "a"},
        {"kind": "basic"},
    ]
    request = make_request(body, {"S": header, "Authorization": f"Basic {header}", "content-type": header}, query)
    secrets = {"signing": "k", "token": "k" * 90, "basic": "k:v"}
    assert verify(make_document(*rules), secrets, request, NOW) is False
