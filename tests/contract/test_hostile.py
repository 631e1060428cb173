"""Nothing that is sent makes a 500 (promise 11): the classes of promises.md, section 5, on every route with a body."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app import ids
from tests.api import Api
from tests.contract.bodies import body, leaves, place, with_leaf
from tests.contract.contract import OURS, PROBLEM, WITH_BODY, Operation
from tests.contract.world import World, furnish

DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000
MARK = "@@"
# What cannot be, put where a value belongs. (what, JSON text, statuses)
ATOMS = (
    ("NUL", '"a\\u0000b"', {422}),
    ("half a character", '"\\ud800"', {422}),
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
    ("half a character in a name", b'{"\\ud800": 1}', {422}),
    ("a list", b"[]", {422}),
    ("a text", b'"text"', {422}),
    ("2000 members", json.dumps({f"m{n}": n for n in range(2000)}).encode(), {422}),
    ("2000 items", json.dumps({"list": [0] * 2000}).encode(), {422}),
    ("gzip", gzip.compress(b'{"name": "x"}'), {400, 415}),
)
# Values of the right type that a database or a calendar may choke on; taken or refused, never a fault of ours.
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


async def sent(
    api: Api, operation: Operation, world: World, raw: bytes, media: str = "application/json"
) -> httpx.Response:
    headers = {"Content-Type": media, "Authorization": f"Bearer {api.key}", "Baton-Actor": world["actor"]}
    if operation.method == "POST":
        headers["Idempotency-Key"] = ids.show("event", ids.new_id())
    return await api.client.request(operation.method, operation.at(**world), content=raw, headers=headers)


def is_named(answer: httpx.Response) -> bool:
    """Whether the answer is a problem that says which field is wrong."""
    assert answer.headers["content-type"] == PROBLEM
    faults = answer.json()["errors"]
    return bool(faults) and all(fault["field"] and fault["code"] and fault["detail"] for fault in faults)


@pytest.fixture
async def world(api: Api) -> World:
    return await furnish(api)


async def test_what_is_no_json_or_cannot_be_kept_is_refused_everywhere(api: Api, world: World) -> None:
    for operation in WITH_BODY:
        optional = not operation.members["requestBody"].get("required")
        for what, raw, statuses in BODIES:
            answer = await sent(api, operation, world, raw)
            if optional and not raw:
                continue
            assert answer.status_code in statuses, (str(operation), what, answer.text)
            assert answer.status_code != 422 or is_named(answer), (str(operation), what, answer.text)


async def test_what_is_no_value_is_refused_at_every_member_and_the_member_is_named(api: Api, world: World) -> None:
    for operation in WITH_BODY:
        whole = body(str(operation), world)
        for name in whole:
            for what, atom, statuses in ATOMS:
                text = json.dumps({**whole, name: MARK}).replace(f'"{MARK}"', atom)
                answer = await sent(api, operation, world, text.encode())
                assert answer.status_code in statuses, (str(operation), name, what, answer.text)
                assert answer.status_code != 422 or is_named(answer), (str(operation), name, what, answer.text)
                if what in ("NUL", "half a character"):
                    assert answer.json()["errors"][0]["field"] == name


async def test_the_plain_bodies_are_accepted(api: Api, world: World) -> None:
    """Otherwise the odd ones beside them would prove little."""
    for operation in WITH_BODY:
        whole = json.dumps(body(str(operation), world)).encode()
        answer = await sent(api, operation, await place(str(operation), world, api), whole)
        assert answer.is_success, (str(operation), answer.text)


def strange(operation: Operation, world: World) -> Iterator[tuple[str, Any]]:
    """The body of an operation with one leaf at a time replaced by something of the same type, but odd."""
    whole = body(str(operation), world)
    for path, leaf in leaves(whole):
        dated = isinstance(leaf, str) and leaf[:2] == "20"
        for value in TIMES if dated else STRINGS if isinstance(leaf, str) else NUMBERS:
            yield f"{operation} {path} {value!r:.40}", with_leaf(whole, path, value)
    yield f"{operation} an unknown member", {**whole, "nonsense": 1}


@pytest.mark.parametrize("share", range(3))
async def test_odd_values_are_taken_or_refused_and_never_a_fault_of_ours(api: Api, world: World, share: int) -> None:
    for operation in WITH_BODY[share::3]:
        for what, odd in strange(operation, world):
            answer = await sent(api, operation, await place(str(operation), world, api), json.dumps(odd).encode())
            assert answer.status_code < 500, (what, answer.text)
            assert answer.status_code not in (400, 422) or answer.headers["content-type"] == PROBLEM, what
            if what.endswith("an unknown member"):
                assert answer.status_code == 422, (what, answer.text)
                assert "nonsense" in {fault["field"] for fault in answer.json()["errors"]}, (what, answer.text)


async def test_only_json_is_read_where_json_is_expected(api: Api, world: World) -> None:
    for operation in WITH_BODY:
        for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await sent(api, operation, world, b'{"name": "x"}', media)
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), (
                str(operation),
                media,
            )


async def test_a_byte_order_mark_is_read_the_same_way_everywhere(api: Api, world: World) -> None:
    for operation in WITH_BODY:
        with_mark = await sent(api, operation, world, b"\xef\xbb\xbf{}")
        without = await sent(api, operation, world, b"{}")
        assert with_mark.status_code == without.status_code, str(operation)


def cursors() -> Iterator[str]:
    for last in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "nonsense", 7, None):
        said = [1, "created_at", last, "019a8f2c-7b1e-7c3d-8e4f-5a6b7c8d9e0f", "0" * 16]
        yield base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    yield from ("", "x", "%00", "é", "=" * 500, base64.urlsafe_b64encode(b"[" * 600).decode())


async def test_no_query_makes_a_fault_of_ours(api: Api, world: World) -> None:
    odd = [
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
    for operation in [each for each in OURS if each.queries]:
        for name in operation.queries:
            for value in [*odd, *cursors()]:
                answer = await api.call(operation.method, operation.at(**world), params={name: value})
                assert answer.status_code < 500, (str(operation), name, value, answer.text)
                if name == "limit" and value in ("-1", "0", "9" * 30, "NaN"):
                    assert answer.status_code == 422, (str(operation), value)
                    assert answer.json()["errors"][0]["field"] == "limit"
                if name == "cursor" and answer.status_code != 200:
                    assert answer.status_code == 422, (str(operation), value, answer.text)


async def test_an_id_that_cannot_be_is_the_id_of_nothing(api: Api, world: World) -> None:
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
    for operation in [each for each in OURS if "_id}" in each.path]:
        for each in wrong:
            path = operation.path[: operation.path.index("{")] + each + operation.path.partition("}")[2]
            whole = None if operation.body is None else body(str(operation), world)
            answer = await api.call(operation.method, path, whole, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 404, (str(operation), each, answer.text)
            assert answer.headers["content-type"] == PROBLEM


async def test_odd_headers_are_refused_or_left_alone(api: Api, world: World) -> None:
    lead = f"/v1/leads/{world['lead_id']}"
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
