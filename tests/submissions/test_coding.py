"""Packed bodies on the ingest endpoint, in a dry run and on the API."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from app.web.gate import MAX_BODY, MAX_MULTIPART
from tests.api import Api
from tests.submissions.sender import count, make_sender, person, process, typeform_signature

JSON = "application/json"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("coding", PACKERS)
async def test_a_packed_body_becomes_a_lead_and_is_kept_as_received(api: Api, coding: str) -> None:
    sender = await make_sender(api)
    body = PACKERS[coding](json.dumps(person(company="Nordsoft")).encode())
    made = await sender.post_and_process(body, Content_Type=JSON, Content_Encoding=coding.upper())
    [item] = made["items"]
    assert (item["verdict"], item["mapped"]["fields"]["company"]) == ("lead", "Nordsoft")
    raw = await api.get(f"/v1/submissions/{made['id']}/raw")
    assert base64.b64decode(raw["body_base64"]) == body
    again = (await api.post(f"/v1/sources/{sender.source['id']}/dry-run", raw, status=200))["items"]
    assert again[0]["fields"] == item["mapped"]["fields"]


async def test_a_signature_covers_the_bytes_as_received(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    content = b'{"form_response": {"token": "t", "answers": []}}'
    packed = gzip.compress(content)
    right = {"Content_Type": JSON, "Content_Encoding": "gzip", "Typeform_Signature": typeform_signature(packed)}
    assert (await sender.post(packed, **right)).status_code == 202
    assert (
        await sender.post(packed, **{**right, "Typeform_Signature": typeform_signature(content)})
    ).status_code == 401


async def test_a_token_in_a_packed_body_is_found_and_is_not_stored(api: Api) -> None:
    verify = [{"kind": "token", "in": "body", "name": "key"}]
    sender = await make_sender(api, overrides={"verify": verify}, secrets={"token": "secret-token-1"})
    bodies = {
        JSON: json.dumps(person(key="secret-token-1")).encode(),
        "application/x-www-form-urlencoded": b"email=ana%40nordsoft.example&key=secret-token-1",
    }
    overrides = {"verify": verify, "parse": {"formats": ["auto"]}}
    await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": overrides})
    for content_type, body in bodies.items():
        for coding, pack in PACKERS.items():
            made = await sender.post_and_process(pack(body), Content_Type=content_type, Content_Encoding=coding)
            assert made["items"][0]["verdict"] in ("lead", "duplicate"), (content_type, coding)
            raw = await api.get(f"/v1/submissions/{made['id']}/raw")
            stored = base64.b64decode(raw["body_base64"])
            plain = zlib.decompress(stored, zlib.MAX_WBITS | 32)
            assert b"secret-token-1" not in plain
            assert b"nordsoft" in plain
    wrong = gzip.compress(json.dumps(person(key="wrong")).encode())
    assert (await sender.post(wrong, Content_Type=JSON, Content_Encoding="gzip")).status_code == 401


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, x", "x, gzip", "gzip, gzip", "compress", "nonsense"])
async def test_any_other_coding_is_415_and_nothing_is_stored(api: Api, coding: str) -> None:
    sender = await make_sender(api)
    answer = await sender.post(b"{}", Content_Type=JSON, Content_Encoding=coding)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "gzip or deflate" in answer.json()["detail"]
    unknown = await api.client.post("/v1/ingest/" + "k" * 43, content=b"{}", headers={"Content-Encoding": coding})
    assert unknown.status_code == 415, "the same for an unknown key, so that keys cannot be probed"
    assert await count(api, "SELECT count(*) FROM submissions") == 0


@pytest.mark.parametrize(
    ("content_type", "limit"), [(JSON, MAX_BODY), ("multipart/form-data; boundary=b", MAX_MULTIPART)]
)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_unpacks_to_more_than_the_limit_is_413(
    api: Api, content_type: str, limit: int, coding: str
) -> None:
    sender = await make_sender(api)
    for size, status in ((limit, 202), (limit + 1, 413), (100 * limit, 413)):
        body = PACKERS[coding](b" " * size)
        answer = await sender.post(body, Content_Type=content_type, Content_Encoding=coding)
        assert answer.status_code == status, size
    assert answer.json()["code"] == "body_too_large"
    assert str(limit) in answer.json()["detail"]
    assert await count(api, "SELECT count(*) FROM submissions") == 1


async def test_a_body_that_cannot_be_unpacked_is_stored_and_quarantined_with_the_reason(api: Api) -> None:
    sender = await make_sender(api)
    for coding, body in (("gzip", gzip.compress(b"{}")[:-3]), ("deflate", b"{}"), ("gzip", b"\x1f\x8b")):
        made = await sender.post_and_process(body, Content_Type=JSON, Content_Encoding=coding)
        assert (made["state"], made["items"][0]["reason"]) == ("quarantined", "parse_failed")
        assert "packed" in made["items"][0]["mapped"]["unmet"][0]["have"]


async def test_a_dry_run_reads_a_packed_body_by_its_headers(api: Api) -> None:
    sender = await make_sender(api)
    path = f"/v1/sources/{sender.source['id']}/dry-run"
    form = {"email": "ana@nordsoft.example"}
    for coding, pack in PACKERS.items():
        body = {"body_base64": base64.b64encode(pack(json.dumps(form).encode())).decode()}
        headers = {"Content-Type": JSON, "Content-Encoding": coding}
        [item] = (await api.post(path, {**body, "headers": headers}, status=200))["items"]
        assert item["fields"]["email"] == form["email"]
    texts: list[Any] = [form, json.dumps(form)]
    for text in texts:
        headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
        [item] = (await api.post(path, {"body": text, "headers": headers}, status=200))["items"]
        assert item["verdict"] == "lead", "text is not packed, whatever the headers say"
    packed = base64.b64encode(gzip.compress(bytes(2 * MAX_BODY))).decode()
    for coding, encoded, why in (("br", "e30=", "not known"), ("gzip", packed, str(MAX_BODY))):
        asked = {"body_base64": encoded, "headers": {"Content-Encoding": coding}}
        [item] = (await api.post(path, asked, status=200))["items"]
        assert item["reason"] == "parse_failed"
        assert why in item["unmet"][0]["have"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "br, gzip, x", "nonsense", "identity, gzip"])
async def test_a_body_with_a_coding_is_415_on_the_api(api: Api, coding: str) -> None:
    lead = await api.post("/v1/leads", {"fields": {"email": "ana@nordsoft.example"}})
    nothing = {"Content-Type": JSON, "Content-Encoding": coding, "Idempotency-Key": "k"}
    path = f"/v1/leads/{lead['id']}"
    for method, where in (
        ("PATCH", path),
        ("POST", path + "/convert"),
        ("POST", path + "/transitions"),
        ("POST", "/v1/leads"),
        ("POST", "/v1/sources"),
        ("DELETE", "/v1/sources/src_x"),
        ("POST", "/v1/nothing"),
    ):
        for body in (b"{}", gzip.compress(b"{}")):
            answer = await api.client.request(
                method, where, content=body, headers={**nothing, "Authorization": f"Bearer {api.key}"}
            )
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), (method, where)
    assert (await api.call("GET", path, headers={"Content-Encoding": coding})).status_code == 200, "without a body"
    plain = await api.call("PATCH", path, {"fields": {"company": "Nordsoft"}}, headers={"Content-Encoding": "identity"})
    assert plain.status_code == 200


# --- JSON that was encoded twice


@pytest.mark.parametrize("content_type", [JSON, "text/plain", "", "application/x-www-form-urlencoded"])
async def test_a_json_text_of_json_is_read_once_more(api: Api, content_type: str) -> None:
    sender = await make_sender(api, overrides={"parse": {"formats": ["auto"]}})
    form = person(company='Nord "soft" SRL')
    made = await sender.post_and_process(json.dumps(json.dumps(form)), Content_Type=content_type)
    assert made["items"][0]["mapped"]["fields"]["company"] == 'Nord "soft" SRL'
    listed = json.dumps(json.dumps([form]))
    await api.call(
        "PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": {"items": "body", "parse": {"formats": ["json"]}}}
    )
    made = await sender.post_and_process(listed, Content_Type=content_type)
    assert len(made["items"]) == 1


async def test_a_json_text_of_something_else_stays_text(api: Api) -> None:
    sender = await make_sender(api)
    thrice = json.dumps(json.dumps(json.dumps({"email": "ana@nordsoft.example"})))
    for body in ('"hello"', '"{"', '"1"', thrice):
        assert (await sender.post(body, Content_Type=JSON)).status_code == 202
    await process(api)
    assert await count(api, "SELECT count(*) FROM leads") == 0
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'quarantined'") == 4
