"""What stays of the events of an erased person is what is listed for their type (app/erasure/reduced.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from app.erasure.reduced import EMPTY, IN_EVENTS, event
from app.events.catalogue import TYPES
from tests.contract.contract import DOCUMENT, resolved

NAME = "Ada Lovelace"
OF_LEADS = sorted(name for name, shape in TYPES.items() if "lead_id" in shape.model_fields)
# Of the opportunity or the delivery alone: ids, codes, amounts and dates, which stay.
OF_NO_LEAD = ["delivery.dead", "opportunity.updated"]


def published(type_: str) -> dict[str, Any]:
    """The schema of the data of an event of this type."""
    body = DOCUMENT["webhooks"][type_]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema: dict[str, Any] = resolved(resolved(body)["properties"]["data"])
    return schema


def filled(schema: dict[str, Any], depth: int = 0) -> Any:
    """A value of this schema, with each member and with one more in each object that the schema does not know."""
    schema = resolved(schema)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return filled(schema[several][0], depth)
    if schema.get("type") == "array":
        return [filled(schema["items"], depth)]
    if schema.get("type") != "object":
        return "code"
    members = {name: filled(one, depth + 1) for name, one in schema.get("properties", {}).items()} if depth < 5 else {}
    return {**members, "typed": NAME}


def places(value: Any, path: str = "") -> Iterator[str]:
    """Where somebody is named."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from places(member, f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from places(member, path)
    elif value == NAME:
        yield path


def test_each_event_of_a_lead_is_listed() -> None:
    assert sorted([*IN_EVENTS, *OF_NO_LEAD]) == OF_LEADS
    assert EMPTY.keys() <= IN_EVENTS.keys()


@pytest.mark.parametrize("type_", sorted(IN_EVENTS))
def test_a_member_that_is_not_listed_is_removed_wherever_it_stands(type_: str) -> None:
    whole = filled(published(type_))
    assert len(list(places(whole))) >= 1
    told = event(type_, {**whole, "lead_id": "lead_1"})
    assert list(places(told)) == []
    assert (told["lead_id"], told["erased"]) == ("lead_1", True)


@pytest.mark.parametrize("type_", sorted(IN_EVENTS))
def test_what_is_listed_is_published_and_what_is_required_stays(type_: str) -> None:
    schema = published(type_)
    listed = {name.partition(".")[0] for name in IN_EVENTS[type_].split()}
    assert listed <= schema["properties"].keys()
    assert not listed & EMPTY.get(type_, {}).keys()
    assert set(schema["required"]) <= {"lead_id", *listed, *EMPTY.get(type_, {})}
    whole = filled(schema)
    assert event(type_, whole).keys() == {"lead_id", "erased", *listed, *EMPTY.get(type_, {})}


@pytest.mark.parametrize("type_", ["lead.named_later", ""])
def test_of_a_type_that_is_not_listed_only_the_lead_stays(type_: str) -> None:
    assert event(type_, {"lead_id": "lead_1", "name": NAME, "at": "now"}) == {"lead_id": "lead_1", "erased": True}


@pytest.mark.parametrize(
    ("stored", "stays"),
    [
        ({}, {}),
        ({"actor": None}, {"actor": None}),
        ({"actor": NAME}, {"actor": None}),
        ({"actor": {}}, {"actor": {}}),
        ({"actor": {"id": "usr_1", "name": NAME}}, {"actor": {"id": "usr_1"}}),
        ({"reached": [NAME, {"name": "mql", "note": NAME}, 1]}, {"reached": [{"name": "mql"}]}),
        ({"reached": []}, {"reached": []}),
        ({"evidence": {"fit": 1, "answer": NAME}}, {"evidence": {"fit": 1}}),
        ({"evidence": None}, {"evidence": {}}),
    ],
)
def test_of_what_another_release_wrote_the_same_members_stay(stored: dict[str, Any], stays: dict[str, Any]) -> None:
    told = event("lead.stage_changed", {"lead_id": "lead_1", **stored})
    assert told == {"lead_id": "lead_1", **stays, "erased": True}
