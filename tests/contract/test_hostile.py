"""No input causes a 500 (promise 11): the classes of promises.md, section 5, on every route with a body."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from app import ids
from tests.api import Api
from tests.contract.bodies import body, ids_for_request, leaves, with_leaf
from tests.contract.contract import AUTHENTICATED, PROBLEM, WITH_BODY, Operation
from tests.contract.world import RecordIds, create_one_of_each

DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000
MARK = "@@"
# Values that cannot be stored, in place of any member. (name, JSON text, expected statuses)
UNSTORABLE = (
    ("NUL", '"a\\u0000b"', {422}),
    ("a lone surrogate", '"\\ud800"', {422}),
    ("NaN", "NaN", {422}),
    ("Infinity", "-Infinity", {422}),
    ("1e400", "1e400", {422}),
    ("an integer of 30 digits", "9" * 30, {422}),
    ("an integer of 5000 digits", "9" * 5000, {400, 422}),
)
BODIES = (
    ("nothing", b"", {422}),
    ("half a body", b'{"name": "x', {400}),
    ("bad UTF-8", b'{"name": "\xff\xfe"}', {400}),
    ("UTF-16", '{"name": "x"}'.encode("utf-16"), {400}),
    ("depth 1000", DEEP, {400}),
    ("a member twice", b'{"name": "a", "name": "b"}', {400}),
    ("a NUL in a name", b'{"a\\u0000b": 1}', {422}),
    ("a lone surrogate in a name", b'{"\\ud800": 1}', {422}),
    ("a list", b"[]", {422}),
    ("a text", b'"text"', {422}),
    ("2000 members", json.dumps({f"m{n}": n for n in range(2000)}).encode(), {422}),
    ("2000 items", json.dumps({"list": [0] * 2000}).encode(), {422}),
    ("gzip", gzip.compress(b'{"name": "x"}'), {400, 415}),
)
# Values of the right type that a database or date arithmetic may reject: accepted or refused, but never a 500.
TIMES = (
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00",
    "2026-01-01T00:00:00",
    "2026-02-30",
    "0001-01-01",
    "1787000000",
)
STRINGS = ("", "x" * 20_000, "\u202e\u0001\ufffe", "%00", "'; DROP TABLE leads; --", "lead_7zzzzzzzzzzzzzzzzzzzzzzzzz")
NUMBERS: tuple[Any, ...] = (2**31, 2**63 - 1, -(2**63) + 1, 1e308, "1", [])


async def send(
    api: Api, operation: Operation, record_ids: RecordIds, raw: bytes, media: str = "application/json"
) -> httpx.Response:
    headers = {"Content-Type": media, "Authorization": f"Bearer {api.key}", "Baton-Actor": record_ids["actor"]}
    if operation.method == "POST":
        headers["Idempotency-Key"] = ids.show("event", ids.new_id())
    return await api.client.request(operation.method, operation.at(**record_ids), content=raw, headers=headers)


def is_named(answer: httpx.Response) -> bool:
    """Whether the response is a problem that names the invalid fields."""
    assert answer.headers["content-type"] == PROBLEM
    faults = answer.json()["errors"]
    return bool(faults) and all(fault["field"] and fault["code"] and fault["detail"] for fault in faults)


@pytest.fixture
async def record_ids(api: Api) -> RecordIds:
    return await create_one_of_each(api)


async def test_malformed_or_unstorable_json_is_refused_by_every_route(api: Api, record_ids: RecordIds) -> None:
    for operation in WITH_BODY:
        optional = not operation.members["requestBody"].get("required")
        for label, raw, statuses in BODIES:
            answer = await send(api, operation, record_ids, raw)
            if optional and not raw:
                continue
            assert answer.status_code in statuses, (str(operation), label, answer.text)
            assert answer.status_code != 422 or is_named(answer), (str(operation), label, answer.text)


async def test_a_value_that_cannot_be_stored_is_refused_in_every_member_and_the_member_is_named(
    api: Api, record_ids: RecordIds
) -> None:
    for operation in WITH_BODY:
        valid = body(str(operation), record_ids)
        for name in valid:
            for label, json_text, statuses in UNSTORABLE:
                text = json.dumps({**valid, name: MARK}).replace(f'"{MARK}"', json_text)
                answer = await send(api, operation, record_ids, text.encode())
                assert answer.status_code in statuses, (str(operation), name, label, answer.text)
                assert answer.status_code != 422 or is_named(answer), (str(operation), name, label, answer.text)
                if label in ("NUL", "a lone surrogate"):
                    assert answer.json()["errors"][0]["field"] == name


async def test_the_unchanged_bodies_are_accepted(api: Api, record_ids: RecordIds) -> None:
    """Otherwise a refusal of a changed body would prove nothing."""
    for operation in WITH_BODY:
        valid = json.dumps(body(str(operation), record_ids)).encode()
        answer = await send(api, operation, await ids_for_request(str(operation), record_ids, api), valid)
        assert answer.is_success, (str(operation), answer.text)


def unusual_bodies(operation: Operation, record_ids: RecordIds) -> Iterator[tuple[str, Any]]:
    """The body of an operation with one leaf at a time replaced by an unusual value of the same type."""
    valid = body(str(operation), record_ids)
    for path, leaf in leaves(valid):
        dated = isinstance(leaf, str) and leaf[:2] == "20"
        for value in TIMES if dated else STRINGS if isinstance(leaf, str) else NUMBERS:
            yield f"{operation} {path} {value!r:.40}", with_leaf(valid, path, value)
    yield f"{operation} an unknown member", {**valid, "nonsense": 1}


@pytest.mark.parametrize("share", range(3))
async def test_unusual_values_are_accepted_or_refused_but_never_a_500(
    api: Api, record_ids: RecordIds, share: int
) -> None:
    for operation in WITH_BODY[share::3]:
        for label, unusual in unusual_bodies(operation, record_ids):
            answer = await send(
                api, operation, await ids_for_request(str(operation), record_ids, api), json.dumps(unusual).encode()
            )
            assert answer.status_code < 500, (label, answer.text)
            assert answer.status_code not in (400, 422) or answer.headers["content-type"] == PROBLEM, label
            if label.endswith("an unknown member"):
                assert answer.status_code == 422, (label, answer.text)
                assert "nonsense" in {fault["field"] for fault in answer.json()["errors"]}, (label, answer.text)


async def test_a_body_with_another_content_type_than_json_is_a_415(api: Api, record_ids: RecordIds) -> None:
    for operation in WITH_BODY:
        for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await send(api, operation, record_ids, b'{"name": "x"}', media)
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), (
                str(operation),
                media,
            )


async def test_a_byte_order_mark_is_ignored_by_every_route(api: Api, record_ids: RecordIds) -> None:
    for operation in WITH_BODY:
        with_mark = await send(api, operation, record_ids, b"\xef\xbb\xbf{}")
        without = await send(api, operation, record_ids, b"{}")
        assert with_mark.status_code == without.status_code, str(operation)


def cursors() -> Iterator[str]:
    for last in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "nonsense", 7, None):
        members = [1, "created_at", last, "019a8f2c-7b1e-7c3d-8e4f-5a6b7c8d9e0f", "0" * 16]
        yield base64.urlsafe_b64encode(json.dumps(members).encode()).decode()
    yield from ("", "x", "%00", "é", "=" * 500, base64.urlsafe_b64encode(b"[" * 600).decode())


# Values of parameters that must be given, by the name, or by the path and the name.
REQUIRED = {
    "from": "2026-01-01",
    "to": "2026-02-01",
    "metric": "mql_to_sal",
    "period": "2026-Q4",
    "since": "2026-W47",
    "part": "won",
    "/v1/reports/forecast/evidence metric": "commit",
    "/v1/reports/sources/evidence metric": "mql",
    "/v1/reports/feedback/evidence metric": "accepted",
    "/v1/reports/cohorts/evidence metric": "2026-W02.week_1",
    "/v1/reports/response/evidence metric": "met_response",
    "/v1/reports/ageing/evidence metric": "mql:0-7",
    "/v1/reports/rules/evidence metric": "rule:title",
    "/v1/reports/ideal/evidence metric": "won:country:RO",
}


async def test_no_query_parameter_causes_a_500(api: Api, record_ids: RecordIds) -> None:
    unusual = [
        "-1",
        "0",
        "201",
        "9" * 30,
        "1e400",
        "NaN",
        "\x00",
        "%00",
        "\ud800".encode("utf-8", "surrogatepass"),
        "a" * 5000,
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "é",
        "",
        "null",
    ]
    for operation in [each for each in AUTHENTICATED if each.queries]:
        for name in operation.queries:
            for value in [*unusual, *cursors()]:
                needed = {one: REQUIRED.get(f"{operation.path} {one}", REQUIRED.get(one)) for one in operation.required}
                needed = {one: given for one, given in needed.items() if given is not None}
                parameters = {**needed, name: value}
                answer = await api.call(operation.method, operation.at(**record_ids), params=parameters)
                assert answer.status_code < 500, (str(operation), name, value, answer.text)
                if name == "limit" and value in ("-1", "0", "9" * 30, "NaN"):
                    assert answer.status_code == 422, (str(operation), value)
                    assert answer.json()["errors"][0]["field"] == "limit"
                if name == "cursor" and answer.status_code != 200:
                    assert answer.status_code == 422, (str(operation), value, answer.text)


@pytest.mark.parametrize("parameter", ["key=%ff", "metric=a%E2%28", "by=%C0%80", "k%FFey=a", "key=%ED%A0%80"])
async def test_a_parameter_that_is_not_utf8_is_refused_and_named(api: Api, parameter: str) -> None:
    window = "from=2026-01-01&to=2026-02-01"
    refused = await api.call("GET", f"/v1/reports/funnel/evidence?{window}&{parameter}")
    [fault] = refused.json()["errors"]
    name = unquote(parameter.partition("=")[0], errors="surrogateescape").encode(errors="backslashreplace").decode()
    assert (refused.status_code, fault["field"], fault["code"]) == (422, name, "not_utf8")
    readable = await api.call("GET", f"/v1/reports/funnel/evidence?{window}&metric=mql_to_sal&by=source&key=%EF%BF%BD")
    assert readable.status_code == 200, readable.text


@pytest.mark.parametrize("part", ["%ff", "a%E2%28", "%C0%80", "%ED%A0%80"])
async def test_a_part_of_a_path_that_is_not_utf8_is_refused_and_named(
    api: Api, record_ids: RecordIds, part: str
) -> None:
    tried = set()
    for operation in [one for one in AUTHENTICATED if "{" in one.path and "_id}" not in one.path]:
        name = operation.path.partition("{")[2].partition("}")[0]
        valid = None if operation.body is None else body(str(operation), record_ids)
        answer = await api.call(operation.method, operation.path.replace(f"{{{name}}}", part), valid)
        told = [(fault["field"], fault["code"]) for fault in answer.json().get("errors", ())]
        assert (answer.status_code, told) == (422, [(name, "not_utf8")]), (str(operation), answer.text)
        tried.add(name)
    assert {"name", "version"} <= tried, tried
    cost = {"amount": {"value": "5", "currency": "EUR"}, "month": "2026-01"}
    assert (await api.call("PUT", "/v1/campaigns/%EF%BF%BD/cost", cost)).status_code == 200


async def test_a_malformed_id_in_a_path_is_a_404(api: Api, record_ids: RecordIds) -> None:
    wrong = [
        "nonsense",
        "lead_",
        "lead_" + "8" * 26,
        "lead_" + "u" * 26,
        "%00",
        "%ff",
        "LEAD_" + "0" * 26,
        "-1",
        "x" * 3000,
    ]
    for operation in [each for each in AUTHENTICATED if "_id}" in each.path]:
        for each in wrong:
            path = operation.path[: operation.path.index("{")] + each + operation.path.partition("}")[2]
            valid = None if operation.body is None else body(str(operation), record_ids)
            answer = await api.call(operation.method, path, valid, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 404, (str(operation), each, answer.text)
            assert answer.headers["content-type"] == PROBLEM


async def test_unusual_headers_are_refused_or_ignored(api: Api, record_ids: RecordIds) -> None:
    lead = f"/v1/leads/{record_ids['lead_id']}"
    for headers, statuses in (
        ({"If-Match": "7"}, {400}),
        ({"If-Match": 'W/"1"'}, {412}),
        ({"If-Match": '"' + "9" * 500 + '"'}, {412}),
        ({"Baton-Actor": "usr_nonsense"}, {403}),
        ({"Baton-Actor": "ext:" + "x" * 5000}, {403}),
        ({"Authorization": "Bearer " + "x" * 5000}, {401}),
        ({"Accept": "text/nonsense"}, {200}),
        ({"X-Request-Id": "a\tb" * 100}, {200}),
    ):
        answer = await api.call("PATCH", lead, {"fields": {"employees": 5}}, headers=headers)
        assert answer.status_code in statuses, (headers, answer.text)
    for key in ("", "x" * 256, "with space", "a\tb"):
        answer = await api.call(
            "POST", "/v1/leads", {"fields": {"email": "h@odd.example"}}, headers={"Idempotency-Key": key}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_header"), key
    bytes_ = {b"Baton-Actor": b"ext:\xff\xfe", b"Authorization": f"Bearer {api.key}".encode()}
    assert (await api.client.get(lead, headers=bytes_)).status_code == 403
