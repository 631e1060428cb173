"""Arbitrary bytes: never a 500, and no request that was answered 2xx is lost."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.database.engine import make_engine
from tests.api import Api
from tests.submissions.sender import count, make_sender, process

JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
WHO = b"email=ana%40nordsoft.example"
PERSON = '"email": "ana@nordsoft.example"'
HOSTILE: list[tuple[str, str, bytes]] = [
    ("a NUL", JSON, b'{%s, "company": "a\\u0000b", "no\\u0000te": "x\\u0000"}'),
    ("a lone surrogate", JSON, b'{%s, "company": "\\ud800", "\\udfff": "\\udc00x"}'),
    ("invalid UTF-8", JSON, b'{%s, "company": "\xff\xfe\x80"}'),
    ("UTF-16", JSON, f'{{{PERSON}, "company": "ü"}}'.encode("utf-16")),
    ("fifty levels deep", JSON, b'{%s, "deep": ' + b"[" * 50 + b"]" * 50 + b"}"),
    ("a hundred thousand levels deep", JSON, b"[" * 100_000 + b"]" * 100_000),
    ("numbers out of range", JSON, b'{%s, "a": 1e999, "b": ' + b"9" * 5_000 + b', "c": NaN, "d": -Infinity}'),
    ("the same member twice", JSON, b'{"email": "x", %s}'),
    ("a form of ten thousand fields", FORM, WHO + b"&" + b"&".join(b"f%d=1" % n for n in range(10_000))),
    ("a form of one long field", FORM, WHO + b"&note=" + b"x" * 900_000),
    ("a form with NUL and lone surrogates", FORM, WHO + b"&a%00b=%00%ED%A0%80&=&&a[[b]=1&a[][]=2"),
    ("a form with contradicting brackets", FORM, WHO + b"&a=1&a[b]=2&a[b][c]=3&" + b"x[" * 500),
    ("parts without an end", PARTS, b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\nana@nordsoft.example'),
    ("parts without a boundary", "multipart/form-data", b"--x\r\n\r\n"),
    ("an empty body", JSON, b""),
    ("a wrong content type", JSON, b"email=ana%40nordsoft.example"),
    ("an invalid content type", "\u00e9;charset=\u00e9", b"{%s}"),
    ("an unknown charset", "application/json; charset=klingon", b'{%s, "company": "\xe9"}'),
    ("a scalar", JSON, b"1"),
    ("null", JSON, b"null"),
    (
        "members of wrong types",
        JSON,
        b'{%s, "phone": {"a": []}, "name": [1, {}], "company": true,'
        b' "occurred_at": -1e300, "external_ids": [1], "consents": "x", "custom": 5, "answers": {"a": 1},'
        b' "activity_type": {}, "entry": []}',
    ),
]


def filled(body: bytes) -> bytes:
    return body.replace(b"%s", PERSON.encode()) if b"%s" in body else body


@pytest.mark.parametrize("preset", ["generic", "html-form"])
async def test_hostile_bodies_are_stored_and_processed_or_quarantined(api: Api, preset: str) -> None:
    sender = await make_sender(api, preset)
    made = {}
    for what, content_type, body in HOSTILE:
        answer = await api.client.post(
            sender.path, content=filled(body), headers={b"Content-Type": content_type.encode()}
        )
        assert answer.status_code == 202, (what, answer.text)
        made[answer.json()["submission"]["id"]] = (what, filled(body))
    await process(api)
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'received'") == 0
    assert await count(api, "SELECT count(*) FROM submissions") == len(HOSTILE)
    failed = "SELECT count(*) FROM submission_items WHERE reason LIKE 'processing_failed%'"
    assert await count(api, failed) == 0
    for submission_id, (what, body) in made.items():
        shown = await sender.submission(submission_id)
        assert shown["state"] in ("processed", "quarantined"), what
        raw = await api.get(f"/v1/submissions/{submission_id}/raw")
        assert raw.get("body", "").encode() == body or "body_base64" in raw, what


async def test_a_hostile_body_that_can_be_mapped_becomes_a_lead(api: Api) -> None:
    sender = await make_sender(api)
    bodies = [
        filled(body) for what, kind, body in HOSTILE if what in ("a NUL", "a lone surrogate", "fifty levels deep")
    ]
    for body in bodies:
        made = await sender.post_and_process(body, Content_Type=JSON)
        assert made["items"][0]["verdict"] == "lead"


async def test_a_hostile_request_line_is_never_a_500(api: Api) -> None:
    sender = await make_sender(api)
    for suffix in ("?a=%00%ff&a=&&=", "?" + "a=1&" * 5_000, "?email=ana%40nordsoft.example", "?\u00e9=1"):
        answer = await api.client.post(
            sender.path + suffix, content=b"", headers={"Prefer": "wait=%", "Accept": ";;q=,,*"}
        )
        assert answer.status_code in (202, 431), suffix
    for key in ("%00", "a" * 5_000, "..%2f", "'; DROP TABLE sources; --", "\u0435"):
        assert (await api.client.post(f"/v1/ingest/{key}", content=b"{}")).status_code in (401, 404)
    await process(api)
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'received'") == 0


LEAF = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
TREE = st.recursive(
    LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=8), inner, max_size=5)),
    max_leaves=20,
)
BODY = st.one_of(st.binary(max_size=400), TREE.map(lambda value: json.dumps(value).encode()))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODY, kind=st.sampled_from([JSON, FORM, PARTS, "text/plain", ""]), n=st.integers(0, 2))
async def test_any_body_can_be_stored_and_processed(api: Api, body: bytes, kind: str, n: int) -> None:
    sender = await make_sender(api, ("generic", "html-form", "salesforce-web-to-lead")[n])
    answer = await sender.post(body, Content_Type=kind)
    assert answer.status_code in (202, 303, 302)
    await process(api)
    failed = "SELECT count(*) FROM submission_items WHERE reason LIKE 'processing_failed%'"
    assert await count(api, failed) == 0
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'received'") == 0


async def test_an_unreachable_database_is_a_503_on_ingest(api: Api) -> None:
    sender = await make_sender(api)
    assert (await sender.post({"email": "a@nordsoft.example"})).status_code == 202
    there = api.app.state.engine
    away: Any = make_engine("postgresql+asyncpg://nobody@127.0.0.1:9/none", 2)
    api.app.state.engine = away
    try:
        answer = await sender.post({"email": "b@nordsoft.example"})
    finally:
        api.app.state.engine = there
        await away.dispose()
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
