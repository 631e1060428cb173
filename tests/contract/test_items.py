"""Batches whose items are read one by one: a value that cannot be stored refuses only the item that holds it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute

from app.web.items import one_by_one
from app.web.routes import ROUTERS
from tests.api import Api
from tests.contract.contract import PROBLEM
from tests.conversion.steps import KEYS, sql_lead

MARK = "@@"
# What is written in place of a value, the code of the fault, and the place of the fault behind that of the value.
UNSTORABLE: list[tuple[str, str, str]] = [
    ('"a\\u0000b"', "nul_character", ""),
    ('"\\ud800"', "lone_surrogate", ""),
    ('"\\udc00 and \\udfff"', "lone_surrogate", ""),
    ("9223372036854775808", "number_invalid", ""),
    ("-9223372036854775809", "number_invalid", ""),
    ("9" * 5_000, "number_invalid", ""),
    ("1e400", "number_invalid", ""),
    ("NaN", "number_invalid", ""),
    ("-Infinity", "number_invalid", ""),
    ('{"a": ["\\u0000"]}', "nul_character", ".a.0"),
    ('{"body": "\\u0000"}', "nul_character", ".body"),
    ('{"a.b": {"c/d": 1e999}}', "number_invalid", ".a.b.c/d"),
    ('{"a\\u0000b": 1}', "nul_character", ""),
    ('{"a": 1, "b": 2, "a": 1}', "member_repeated", ""),
    ("[" * 40 + "]" * 40, "nested_too_deeply", ".0" * 28),
    (f"[{'1,' * 1_000}1]", "too_many_items", ""),
    (json.dumps(dict.fromkeys(map(str, range(501)))), "too_many_members", ""),
]
BATCHES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "activities": ("/v1/activities", "properties.note", {"type": "webinar", "properties": {"note": MARK}}),
    "items": ("/v1/conversions/batch", "opportunity.name", {"opportunity": {"name": MARK}}),
}


async def send(api: Api, name: str, items: list[str], **members: Any) -> Any:
    others = "".join(f', "{member}": {json.dumps(value)}' for member, value in members.items())
    text = f'{{"{name}": [{",".join(items)}]{others}}}'
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    headers |= {"Baton-Actor": await api.user("ae"), "Idempotency-Key": f"items-{next(KEYS)}"}
    return await api.client.post(BATCHES[name][0], content=text.encode(), headers=headers)


async def written(api: Api, name: str, value: str = '"fine"') -> str:
    """An item of the batch with this text of JSON as one of its values, about a lead of its own."""
    number = next(KEYS)
    lead = await sql_lead(api, await api.user("ae"), email=f"p{number}@firm-{number}.ro", company=f"Firm {number}")
    return json.dumps({"lead_id": lead["id"], **BATCHES[name][2]}).replace(f'"{MARK}"', value)


def outcome(one: dict[str, Any]) -> tuple[bool, list[tuple[str, str]]]:
    """Whether an item was taken, and its faults, of a result of either batch."""
    faults = one.get("errors") or (one.get("problem") or {}).get("errors", [])
    is_taken = one["recorded"] if "recorded" in one else one["status"] == 201
    return is_taken, [(fault["field"], fault["code"]) for fault in faults]


@pytest.mark.parametrize("name", BATCHES)
async def test_an_item_that_cannot_be_stored_is_refused_with_its_place_and_the_others_are_taken(
    api: Api, name: str
) -> None:
    wrong = [await written(api, name, value) for value, _, _ in UNSTORABLE]
    wrong += ['"\\u0000"', "9" * 30, '{"\\ud800": 1}']
    good = [await written(api, name) for _ in range(3)]
    answer = await send(api, name, [good[0], *wrong[:5], good[1], *wrong[5:], good[2]])
    assert answer.is_success, answer.text
    results = answer.json().get("data") or answer.json()["results"]
    assert [one["index"] for one in results] == list(range(len(wrong) + 3))
    taken = [0, 6, len(wrong) + 2]
    assert [index for index, one in enumerate(results) if outcome(one)[0]] == taken
    refused = [(index, outcome(one)[1]) for index, one in enumerate(results) if index not in taken]
    within = [f".{BATCHES[name][1]}{deeper}" for _, _, deeper in UNSTORABLE] + [""] * 3
    codes = [code for _, code, _ in UNSTORABLE] + ["nul_character", "number_invalid", "lone_surrogate"]
    assert refused == [
        (index, [(f"{name}.{index}{place}", code)])
        for (index, _), place, code in zip(refused, within, codes, strict=True)
    ]


@pytest.mark.parametrize("name", BATCHES)
async def test_a_batch_of_which_no_item_can_be_stored_is_refused_with_all_their_places(api: Api, name: str) -> None:
    wrong = [await written(api, name, '"\\u0000"'), "5", await written(api, name, "1e400")]
    answer = await send(api, name, wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    within = BATCHES[name][1]
    assert [fault["field"] for fault in answer.json()["errors"]] == [
        f"{name}.0.{within}",
        f"{name}.1",
        f"{name}.2.{within}",
    ]
    assert answer.json()["errors"][0]["place"] == f"/{name}/0/{within}".replace(".", "/")


@pytest.mark.parametrize("name", BATCHES)
async def test_a_batch_that_is_no_json_or_is_wrong_beside_its_items_is_refused_as_a_whole(api: Api, name: str) -> None:
    good = await written(api, name)
    for broken in ('{"lead_id": "x', "[" * 5_000, "\x01", '"\\u12"'):
        answer = await send(api, name, [good, broken])
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json"), broken
    answer = await send(api, name, [good], other="\x00")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "other")
    answer = await send(api, name, [good] * 1_001)
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [(name, "too_many_items")]
    for twice in (f'{{"{name}": [{good}], "{name}": [{good}]}}', f'["{name}"'):
        headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json", "Idempotency-Key": "twice"}
        answer = await api.client.post(BATCHES[name][0], content=twice.encode(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_an_atomic_batch_with_an_item_that_cannot_be_stored_converts_none(api: Api) -> None:
    answer = await send(api, "items", [await written(api, "items"), await written(api, "items", "1e400")], atomic=True)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "items.1.opportunity.name")
    assert (await api.get("/v1/accounts"))["data"] == []


async def test_an_unknown_member_of_an_item_is_named_whatever_its_name(api: Api) -> None:
    good = json.loads(await written(api, "activities"))
    wrong = [json.dumps({**good, name: 1}) for name in ("body", "a.b", "x", "activities")]
    answer = await send(api, "activities", [*wrong, json.dumps(good)])
    places = [outcome(one)[1][0][0] for one in answer.json()["data"][:-1]]
    assert places == ["activities.0.body", "activities.1.a.b", "activities.2.x", "activities.3.activities"]


def test_every_body_names_the_lists_whose_items_are_read_one_by_one() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    bodies = [route.body_field.field_info.annotation for route in routes if route.body_field]
    named = {name for body in bodies for name in getattr(body, "read_alone", ())}
    assert named == BATCHES.keys()
    for body in bodies:
        fields = getattr(body, "model_fields", {})
        alone = [name for name, field in fields.items() if one_by_one.__name__ in repr(field.annotation)]
        assert alone == list(getattr(body, "read_alone", ()))
