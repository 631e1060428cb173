"""Gathered routes are called without FastAPI's routing and solver, and answer as if it were there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product

import httpx
import pytest

from app.ids import new_id, show
from app.web.routes import ROUTERS
from app.web.transacted import Gathered
from tests.api import Api

JSON = "application/json"
PATHS = sorted(route.path for router in ROUTERS for route in router.routes if isinstance(route, Gathered))
# Content type and body of a request, and the status and code of its refusal.
REFUSED = [
    (JSON, b"", 422, "request_invalid"),
    (JSON, b"{", 400, "malformed_json"),
    (JSON, b"null", 422, "request_invalid"),
    (JSON, b"[]", 422, "request_invalid"),
    (JSON, b'"text"', 422, "request_invalid"),
    (JSON, b'{"nothing": 1}', 422, "request_invalid"),
    (JSON, b'{"fields": 1, "type": 1, "action": 1, "account": 1}', 422, "request_invalid"),
    (JSON, b'{"a": 1, "a": 2}', 400, "malformed_json"),
    ("application/vnd.example+json; charset=utf-8", b'{"nothing": 1}', 422, "request_invalid"),
    ("text/plain", b"{}", 415, "unsupported_media_type"),
    ("text/x+json", b"{}", 415, "unsupported_media_type"),
    ("application/a/b+json", b"{}", 415, "unsupported_media_type"),
    ("", b"{}", 415, "unsupported_media_type"),
]


@pytest.fixture
async def routed(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests are routed by FastAPI: behind another root path they are not called directly."""
    transport = httpx.ASGITransport(app=api.app, root_path="/behind")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def _headers(api: Api, kind: str = JSON) -> dict[str, str]:
    key = str(new_id())
    return {"Authorization": f"Bearer {api.key}", "Content-Type": kind, "Idempotency-Key": key}


async def test_a_request_that_is_refused_gets_the_same_problem_on_both_ways(
    api: Api, routed: httpx.AsyncClient
) -> None:
    assert len(PATHS) == 4
    for path, (kind, body, status, code) in product(PATHS, REFUSED):
        at, headers = path.format(lead_id=show("lead", new_id())), _headers(api, kind)
        direct = await api.client.post(at, content=body, headers=headers)
        other = await routed.post(at, content=body, headers=headers)
        assert (direct.status_code, direct.json()["code"]) == (status, code), (path, kind, body, direct.text)
        assert (direct.content, direct.headers["content-type"]) == (other.content, other.headers["content-type"])


@pytest.mark.parametrize(
    "lead_id", ["x", "lead_", "lead_0" + "i" * 25, "usr_" + "0" * 26, "%00", "lead_" + "0" * 25 + "_"]
)
async def test_a_malformed_id_in_the_path_is_an_unknown_lead(api: Api, lead_id: str) -> None:
    for path in PATHS:
        if "{lead_id}" in path:
            answer = await api.client.post(path.format(lead_id=lead_id), content=b"{}", headers=_headers(api))
            assert (answer.status_code, answer.json()["code"]) == (404, "lead_not_found"), (path, answer.text)


async def test_a_wrong_query_or_key_is_refused_before_the_body_on_both_ways(
    api: Api, routed: httpx.AsyncClient
) -> None:
    for path, (query, key, status) in product(PATHS, [("?foo=1", api.key, 422), ("", "btn_x", 401)]):
        at = path.format(lead_id=show("lead", new_id())) + query
        headers = {**_headers(api), "Authorization": f"Bearer {key}"}
        direct, other = [await one.post(at, content=b"{", headers=headers) for one in (api.client, routed)]
        assert (direct.status_code, direct.content) == (status, other.content), path


async def test_both_ways_do_the_same_and_repeat_a_stored_answer(api: Api, routed: httpx.AsyncClient) -> None:
    for way, again in ((api.client, routed), (routed, api.client)):
        headers = _headers(api)
        body = f'{{"fields": {{"email": "{new_id()}@example.com"}}}}'.encode()
        made = await way.post("/v1/leads", content=body, headers=headers)
        repeated = await again.post("/v1/leads", content=body, headers=headers)
        assert (made.status_code, repeated.status_code, repeated.content) == (201, 201, made.content)
        assert repeated.headers["idempotency-replayed"] == "true"
