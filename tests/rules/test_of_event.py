"""What is wrong with a condition about events is told when it is saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.policy.fault import Fault
from app.policy.of_event import Selected, condition_faults, condition_of, member_of, read_condition, reads_lead
from app.policy.shipped import shipped
from app.policy.view import ConditionBase

POLICY = shipped("waterfall")
COUNTRY: dict[str, Any] = {"field": "country", "is": "RO"}


WANTED: dict[str, list[Any]] = {"class": ["won", "lost"], "actor_id": [None, "usr_1"]}


def has_several(name: str) -> bool:
    return name in ("data.changed", "custom.wants")


def faults(written: Any, enters: bool | None = None, **wanted: list[Any]) -> list[tuple[str, str, str]]:
    """Of a condition (place, code, kind) of each fault."""
    selected = Selected(has_several, enters)
    found = read_condition(written)
    found = found if isinstance(found, list) else list(condition_faults(POLICY, found, wanted or WANTED, selected))
    assert all(isinstance(one, Fault) and one.detail for one in found)
    return [(one.place, one.code, one.kind) for one in found]


def nested(levels: int) -> dict[str, Any]:
    return COUNTRY if levels == 1 else {"not": nested(levels - 1)}


@pytest.mark.parametrize(
    "written",
    [
        COUNTRY,
        {"all": [COUNTRY, {"field": "data.to", "is": "mql"}]},
        {"any": [{"fit": {"at_least": 20}}, {"consent": {"purpose": "phone", "state": ["given"]}}]},
        {"field": "email_domain", "in_list": "free_mail"},
        {"all": [{"field": "data.changed", "is": "company"}, {"field": "data.changed", "is": "country"}]},
        {"all": [{"field": "custom.wants", "is": "demo"}, {"field": "custom.wants", "is": "price"}]},
        {"all": [{"field": "data.to", "in": ["mql", "sql"]}, {"field": "data.to", "in": ["sql", "won"]}]},
        {"all": [{"field": "data.seq", "at_least": 2}, {"field": "data.seq", "at_most": 2}]},
        {"field": "data.class", "in": ["open", "Won"]},
        {"not": {"field": "data.class", "is": "won"}},
        {"field": "data.actor_id", "is": "usr_2"},
        nested(8),
        {"any": [COUNTRY] * 199},
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_sound_condition_has_no_faults(written: dict[str, Any]) -> None:
    assert faults(written) == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([], ("", "invalid", "fault")),
        ({"contry": 1}, ("", "unknown_word", "fault")),
        ({"all": []}, ("/all", "too_few_items", "fault")),
        ({"all": "x"}, ("/all", "wrong_type", "fault")),
        ({"all": [{"field": "country"}]}, ("/all/0", "invalid", "fault")),
        ({"all": [COUNTRY, {"field": "contry", "is": "RO"}]}, ("/all/1/field", "unknown_field", "fault")),
        ({"field": "country", "is": "UK"}, ("/is", "unknown_value", "fault")),
        ({"field": "country", "is": "Zamunda"}, ("/is", "unknown_value", "warning")),
        ({"field": "country", "has_word": ["Zamunda"]}, ("/has_word", "unknown_value", "warning")),
        ({"field": "country", "at_least": 3}, ("/at_least", "comparison_not_possible", "fault")),
        ({"field": "data.seq", "between": [3, 2]}, ("/between", "empty_range", "fault")),
        ({"at_least": {"count": 2, "of": [COUNTRY]}}, ("/at_least/count", "never_true", "fault")),
        ({"condition": "fits"}, ("", "not_here", "fault")),
        ({"persona": ["decision_maker"]}, ("", "not_here", "fault")),
        ({"activity": {"kind": "interest"}}, ("", "not_here", "fault")),
        ({"likelihood": {"at_least": 0.3}}, ("", "not_here", "fault")),
        ({"owner": ["nobody"]}, ("", "not_here", "fault")),
        ({"field": "company", "in_list": "competitors"}, ("/in_list", "not_here", "fault")),
        ({"field": "source", "is": "Form"}, ("/field", "not_here", "fault")),
        ({"field": "business", "is": "new"}, ("/field", "not_here", "fault")),
        ({"field": "bant.timing.due_in_days", "at_most": 3}, ("/field", "not_here", "fault")),
        (nested(9), ("", "too_deep", "fault")),
        ({"any": [COUNTRY] * 200}, ("", "too_many_nodes", "fault")),
        ({"all": [COUNTRY, {"field": "country", "is": "PL"}]}, ("", "never_true", "fault")),
        ({"all": [{"stage": "mql"}, {"stage": "sql"}]}, ("", "never_true", "fault")),
        ({"any": [COUNTRY, {"all": [COUNTRY, {"not": COUNTRY}]}]}, ("/any/1", "never_true", "warning")),
        ({"fit": {"at_least": 900_000}}, ("", "never_true", "warning")),
        ({"all": [{"field": "data.to", "is": "mql"}, {"field": "data.to", "is": "sql"}]}, ("", "never_true", "fault")),
        (
            {"all": [{"field": "data.to", "in": ["mql", "srl"]}, {"field": "data.to", "in": ["sql", "won"]}]},
            ("", "never_true", "fault"),
        ),
        (
            {"all": [{"field": "data.to", "is": "mql"}, {"field": "data.to", "present": False}]},
            ("", "never_true", "fault"),
        ),
        (
            {"all": [{"field": "data.seq", "at_least": 3}, {"field": "data.seq", "at_most": 2}]},
            ("", "never_true", "fault"),
        ),
        (
            {
                "any": [
                    COUNTRY,
                    {"all": [{"field": "data.to", "is": "mql"}, {"not": {"field": "data.to", "is": "mql"}}]},
                ]
            },
            ("/any/1", "never_true", "warning"),
        ),
        ({"field": "data.class", "is": "open"}, ("", "never_true", "fault")),
        ({"all": [{"not": {"field": "data.class", "in": ["won", "lost"]}}]}, ("", "never_true", "fault")),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_fault_is_told_where_it_stands(written: Any, expected: tuple[str, str, str]) -> None:
    assert expected in faults(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"field": "data.to", "is": "mql"}, False),
        ({"field": "data.lead.team", "is": "x"}, True),
        ({"field": "data.leads", "is": "x"}, False),
        ({"not": {"any": [{"from": "mql"}, {"reason": "timing"}, {"actor": {"roles": ["sdr"]}}]}}, False),
        ({"stage": "mql"}, True),
        ({"all": [{"from": "mql"}, {"level": {"at_least": 2}}]}, True),
        ({"when": {"from": "mql"}, "then": {"contactable": True}}, True),
        (COUNTRY, True),
        ({"field": "custom.seats", "at_least": 3}, True),
    ],
    ids=str,
)
def test_a_condition_says_whether_it_is_about_the_lead(written: dict[str, Any], expected: bool) -> None:
    found = read_condition(written)
    assert isinstance(found, ConditionBase)
    assert reads_lead(found) is expected


def test_the_member_that_a_word_reads_is_known() -> None:
    read = [{"field": "data.source.name", "is": "x"}, {"from": "mql"}, {"reason": None}, {"actor": {"roles": ["ae"]}}]
    none = [COUNTRY, {"stage": "mql"}, {"fit": {"at_least": 1}}]
    members = [member_of(found) for one in read + none if isinstance(found := read_condition(one), ConditionBase)]
    assert members == ["source.name", "from", "reason_code", "actor.role", None, None, None]


def test_a_stored_condition_is_read_as_it_was_written() -> None:
    written = {"all": [COUNTRY, {"field": "data.seq", "is": True}, {"from": [None, "mql"]}]}
    assert condition_of(json.dumps(written).encode()) == read_condition(written)


def both(*members: dict[str, Any]) -> dict[str, Any]:
    return {"all": [*members]}


def of(member: str, value: str) -> dict[str, Any]:
    return {"field": f"data.{member}", "is": value}


@pytest.mark.parametrize("enters", [True, None])
@pytest.mark.parametrize(
    ("word", "member", "same", "other"),
    [
        ({"stage": "mql"}, "to", "MQL", "sal"),
        ({"stage": ["mql", "sql"]}, "to", "sql", "sal"),
        ({"from": "mql"}, "from", "mql", "sal"),
        ({"from": [None, "mql"]}, "from", "mql", "sal"),
        ({"reason": "timing"}, "reason_code", "timing", "budget"),
        ({"actor": {"roles": ["sdr"]}}, "actor.role", "sdr", "ae"),
        ({"actor": {"roles": ["manager"]}}, "actor.role", "admin", "service"),
        ({"field": "country", "is": "RO"}, "lead.fields.country", "ro", "PL"),
        ({"field": "channel", "is": "phone"}, "lead.channel", "phone", "chat"),
        ({"field": "custom.size", "is": "big"}, "lead.custom.size", "big", "small"),
    ],
    ids=str,
)
def test_two_spellings_of_one_member_are_compared(
    word: dict[str, Any], member: str, same: str, other: str, enters: bool | None
) -> None:
    never = [("", "never_true", "fault")]
    assert faults(both(word, of(member, other)), enters) == never
    assert faults(both({"not": word}, of(member, same), word), enters) == never
    assert faults(both(word, of(member, same)), enters) == []
    assert faults(both({"not": word}, of(member, other)), enters) == []
    assert faults(both(word, {"not": of(member, other)}), enters) == []
    assert faults(word, enters, **{member: [same]}) == []
    if "." not in member:
        assert faults(word, enters, **{member: [other]}) == never


def test_a_stage_is_that_of_the_lead_only_where_no_event_says_what_is_entered() -> None:
    stands = both({"stage": "mql"}, of("lead.stage", "sal"))
    assert faults(stands, False) == [("", "never_true", "fault")]
    assert faults(stands, True) == faults(stands, None) == []
    unlike = both({"stage": "mql"}, {"not": of("to", "mql")})
    assert faults(unlike, True) == [("", "never_true", "fault")]
    assert faults(unlike, None) == []


def test_an_unknown_word_is_told_with_those_that_can_stand_here() -> None:
    found = read_condition({"qqq": 1})
    assert isinstance(found, list)
    offered = found[0].detail.split(" is one of ")[1].split(", ")
    assert {"all", "field", "stage"} <= {*offered}
    assert all(
        isinstance(answer := read_condition({word: 1}), list) and answer[0].code != "not_here" for word in offered
    )
