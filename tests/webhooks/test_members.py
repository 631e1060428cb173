"""What a filter may name: members that real events have can be named, with the values that they have."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.events.catalogue import TYPES
from app.webhooks.event_facts import members_of
from app.webhooks.members import can_be, has_member, is_about_lead, may_be_list, stored_members, types_of
from tests.api import Api
from tests.events.test_published import ELSEWHERE, events_of_stories
from tests.leads.test_included import stand_still


async def test_each_member_of_the_events_of_a_story_can_be_named_with_its_value(api: Api) -> None:
    stand_still(api)
    events = await events_of_stories(api, "lead")
    assert {event["type"] for event in events} == TYPES.keys() - ELSEWHERE
    named: set[tuple[str, str, bytes]] = set()
    for event in events:
        for name, values in members_of(event["data"]).items():
            for value in values if isinstance(values, tuple) else (values,):
                named.add((event["type"], name.removeprefix("data."), orjson.dumps(value)))
            member = name.removeprefix("data.")
            assert not isinstance(values, tuple) or may_be_list(event["type"], member), (event["type"], member)
    named = {one for one in named if one[1] not in ("data", "lead")}
    assert [one for one in named if not has_member(one[0], one[1])] == []
    plain = [one for one in named if not one[2].startswith(b"{")]
    assert {one[:2] for one in plain if not can_be(one[0], one[1], orjson.loads(one[2]))} == set()
    top = {(type_, name) for type_, name, _ in named if "." not in name and not name.startswith("lead.")}
    assert {one for one in top if one[1] not in stored_members(one[0]) | {"changes"}} == set()


@pytest.mark.parametrize(
    ("type_", "member", "expected"),
    [
        ("lead.stage_changed", "to", True),
        ("lead.stage_changed", "from", True),
        ("lead.stage_changed", "from_stage", False),
        ("lead.stage_changed", "score.fit", True),
        ("lead.stage_changed", "score.fitt", False),
        ("lead.stage_changed", "reached.name", True),
        ("lead.stage_changed", "reached.names", False),
        ("lead.stage_changed", "to.name", False),
        ("lead.stage_changed", "actor.role", True),
        ("lead.stage_changed", "", False),
        ("lead.stage_changed", "lead", False),
        ("lead.stage_changed", "lead.owner_id", True),
        ("lead.stage_changed", "lead.owner", False),
        ("lead.stage_changed", "lead.custom.anything", True),
        ("lead.stage_changed", "lead.fields.country", True),
        ("lead.stage_changed", "lead.fields.contry", False),
        ("lead.stage_changed", "lead.sla.state", True),
        ("policy.activated", "lead.owner_id", False),
        ("lead.captured", "source.name", True),
        ("lead.captured", "source.title", False),
        ("lead.activity", "activity.type", True),
        ("opportunity.stage_changed", "class", True),
        ("opportunity.stage_changed", "amount.value", True),
    ],
)
def test_a_member_is_known_by_the_schema_of_its_type(type_: str, member: str, expected: bool) -> None:
    assert has_member(type_, member) is expected


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("seq", 1, True),
        ("seq", "1", False),
        ("seq", True, False),
        ("seq", None, False),
        ("to", "anything", True),
        ("to", None, False),
        ("from", None, True),
        ("from", 3, False),
        ("business", "new", True),
        ("business", "News", False),
        ("ends", True, True),
        ("ends", 1, False),
        ("reached.skipped", False, True),
        ("reached.skipped", "no", False),
        ("voided", "mql", True),
        ("score", 3, False),
        ("lead_id", "lead_0123456789abcdefghjkmnpqrs", True),
        ("lead_id", "whs_0123456789abcdefghjkmnpqrs", False),
        ("lead.score.fit", "x", False),
        ("lead.fields.company", "x", True),
    ],
)
def test_a_value_is_possible_by_the_schema_of_its_type(member: str, value: Any, expected: bool) -> None:
    assert can_be("lead.stage_changed", member, value) is expected


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("to", False),
        ("from", False),
        ("score.fit", False),
        ("actor.role", False),
        ("reached", True),
        ("reached.name", True),
        ("lead.stage", False),
        ("lead.version", False),
        ("lead.fields.country", False),
        ("lead.identities.kind", True),
        ("lead.custom.wants", True),
        ("lead.raw", False),
    ],
)
def test_only_a_member_that_is_or_is_in_a_list_or_is_free_has_several_values(member: str, expected: bool) -> None:
    assert may_be_list("lead.stage_changed", member) is expected


def test_patterns_name_all_types_but_the_ping() -> None:
    assert {*types_of(["*"])} == TYPES.keys() - {"subscription.ping"}
    assert types_of(["policy.*", "lead.erased"]) == ["lead.erased", "policy.activated", "policy.review_due"]
    assert types_of(["subscription.ping"]) == []
    assert [each for each in ("lead.merged", "opportunity.updated", "policy.activated") if is_about_lead(each)] == [
        "lead.merged"
    ]
