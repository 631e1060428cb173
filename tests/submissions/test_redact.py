"""Secrets in request bodies are removed before they are shown or kept."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.sources.document import Parse
from app.sources.request import RawRequest
from app.submissions.redact import redacted
from tests.api import Api
from tests.submissions.sender import count, make_sender, person, process

NOW = datetime(2026, 8, 17, tzinfo=UTC)
KEY = "s3cret-handshake"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=b"


def part(name: str, value: str) -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


def cleaned(content_type: str, body: str | bytes, **parse: Any) -> bytes | None:
    raw = body.encode() if isinstance(body, str) else body
    declared = Parse.model_validate({"formats": ["auto"], "drop": ["key"], **parse})
    return redacted(declared, RawRequest("POST", {"content-type": content_type}, "", raw, NOW))


@pytest.mark.parametrize(
    ("content_type", "body", "kept", "parse"),
    [
        ("application/json", f'{{"a": "ü", "key": "{KEY}"}}', '{"a":"ü"}', {}),
        ("application/json", f'{{"a": {{"key": "{KEY}", "b": 1}}}}', '{"a":{"b":1}}', {"drop": ["a.key"]}),
        (FORM, f"a=1+%C3%BC&key={KEY}&b=", "a=1+%C3%BC&b=", {}),
        (FORM, f"k%65y={KEY}&a[b]=1", "a[b]=1", {}),
        (FORM, f"a[key]={KEY}&a[b]=1&key=x", "a[b]=1&key=x", {"drop": ["a.key"]}),
        (
            PARTS,
            part("a", "1") + part("key", KEY) + part("b", "2") + "--b--\r\n",
            part("a", "1") + part("b", "2") + "--b--\r\n",
            {},
        ),
        (
            FORM,
            "raw=" + json.dumps({"key": KEY, "a": 1}).replace('"', "%22"),
            '{"raw":{"a":1}}',
            {"drop": ["raw.key"], "decode_json": ["raw"]},
        ),
        ("text/plain", f"key={KEY}\r\na=1 & 2\r\nb=\r\n", '{"a":"1 & 2","b":""}', {}),
        ("text/plain", f"a=1\r\nkey={KEY}\r\n", '{"a":"1"}', {}),
        (
            "application/json",
            json.dumps({"raw": json.dumps({"key": KEY, "a": 1})}),
            '{"raw":{"a":1}}',
            {"drop": ["raw.key"], "decode_json": ["raw"]},
        ),
    ],
)
def test_the_secret_is_removed_and_everything_else_is_kept(
    content_type: str, body: str, kept: str, parse: dict[str, Any]
) -> None:
    assert cleaned(content_type, body, **parse) == kept.encode()


@pytest.mark.parametrize("body", ["a=1&b=%zz", '{"a": 1 }', ""])
def test_a_body_without_the_secret_is_unchanged(body: str) -> None:
    assert cleaned(FORM, body) == body.encode()


@pytest.mark.parametrize(
    "body",
    [
        f'{{"key": "{KEY}", ',
        f'{{"k\\u0065y": "{KEY}", ',
        f"k%65y={KEY}",
        f"x.key={KEY}",
        f'{{"key": "{KEY}"'.encode("utf-16"),
        b"\xff key",
    ],
)
def test_a_body_that_cannot_be_parsed_and_may_hold_a_secret_is_not_shown(body: str | bytes) -> None:
    assert cleaned("application/json", body, formats=["json"]) is None


@pytest.mark.parametrize("body", ['{"email": "ana@nordsoft.example", ', "nothing", "a%zz=1"])
def test_a_body_that_cannot_be_parsed_and_names_no_secret_is_shown_as_it_came(body: str) -> None:
    assert cleaned("application/json", body, formats=["json"]) == body.encode()


async def test_a_token_in_the_body_is_shown_nowhere_before_and_after_processing(api: Api) -> None:
    rule = {"kind": "token", "in": "body", "name": "key"}
    sender = await make_sender(api, overrides={"verify": [rule]}, secrets={"token": KEY})
    assert (await sender.post(person(key="wrong"))).status_code == 401
    body = person(key=KEY, note="stays")
    answer = await sender.post(body)
    path = f"/v1/submissions/{answer.json()['submission']['id']}"
    for processed in (False, True):
        if processed:
            await process(api)
            assert await count(api, "SELECT count(*) FROM submissions WHERE body LIKE :k", k=f"%{KEY}%".encode()) == 0
        raw = await api.get(path + "/raw")
        assert json.loads(raw["body"]) == {name: value for name, value in body.items() if name != "key"}
    shown = await api.get(path)
    assert shown["items"][0]["verdict"] == "lead"
    assert KEY not in json.dumps(shown)
    lead = await api.get(f"/v1/leads/{shown['items'][0]['lead_id']}")
    assert lead["custom"] == {"note": "stays"}
    await api.call("POST", path + "/replay")
    await process(api)
    assert (await api.get(path))["items"][0]["verdict"] == "lead"


async def test_an_unreadable_body_with_secrets_is_kept_and_not_shown(api: Api) -> None:
    sender = await make_sender(api, overrides={"parse": {"formats": ["json"], "drop": ["key"]}})
    made = await sender.post_and_process(f'{{"key": "{KEY}"', Content_Type="application/json")
    assert (made["state"], (await api.get(f"/v1/submissions/{made['id']}/raw"))["body"]) == ("quarantined", None)
    assert KEY not in json.dumps(made)
    assert await count(api, "SELECT octet_length(body) FROM submissions") > 0


async def test_raw_is_the_request_as_received_and_is_valid_for_a_dry_run(api: Api) -> None:
    sender = await make_sender(api)
    text = await sender.post_and_process('{"email": "ana@nordsoft.example"}\r\n', Content_Type="application/json")
    other = await sender.post_and_process(b"\xff\x00email", Content_Type="application/octet-stream")
    raw = await api.get(f"/v1/submissions/{text['id']}/raw")
    assert raw["body"] == '{"email": "ana@nordsoft.example"}\r\n'
    bytes_ = await api.get(f"/v1/submissions/{other['id']}/raw")
    assert base64.b64decode(bytes_["body_base64"]) == b"\xff\x00email"
    for shown in (raw, bytes_):
        tried = await api.call("POST", f"/v1/sources/{sender.source['id']}/dry-run", shown)
        assert tried.status_code == 200, tried.text
