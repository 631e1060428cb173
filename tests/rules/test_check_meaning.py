"""The checks of what a policy document means: ways through the stages, conditions that cannot hold, unknown types."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.activity_types import KNOWN
from app.policy.check import faults
from app.policy.document import Policy
from app.policy.fault import Fault
from app.policy.never_true import impossible
from app.policy.policy_view import view_of
from app.policy.read import read_document
from app.sources.preset import make_document, preset_names
from tests.rules.make import NOON, PIPELINE, document, parse_condition
from tests.rules.strategies import facts_of
from tests.rules.test_check import put

EARNING = ("webinar", "case_study", "price_list", "demo_request")
FIT, ENGAGEMENT = {"fit": {"at_least": 40}}, {"engagement": {"at_least": 30}}


def checked(*changes: tuple[str, object]) -> list[Fault]:
    changed = document(PIPELINE)
    for pointer, value in changes:
        put(pointer, value)(changed)
    answer = read_document(changed)
    return faults(answer) if isinstance(answer, Policy) else answer


def codes(found: list[Fault]) -> list[tuple[str, str, str]]:
    return [(fault.kind, fault.code, fault.place) for fault in found]


def field(name: str, **operator: object) -> dict[str, object]:
    return {"field": name, **{{"equals": "is", "among": "in"}.get(key, key): value for key, value in operator.items()}}


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"fit": {"at_least": 51}}, ""),
    ({"any": [FIT, {"fit": {"at_least": 1000}}]}, "/any/1"),
    ({"level": {"at_least": 7}}, ""),
    (field("domain", in_list="competitors"), ""),
    ({"all": [field("industry", equals="software"), field("industry", equals="mining")]}, ""),
    ({"all": [field("industry", equals="software"), {"all": [field("industry", among=["mining", 7])]}]}, ""),
    ({"all": [field("job_title", equals="clerk"), field("job_title", has_word=["director"])]}, ""),
    ({"all": [field("employees", at_least=51), field("employees", at_most=50)]}, ""),
    ({"all": [field("employees", between=[1, 5]), field("employees", equals=6)]}, ""),
    ({"all": [field("employees", at_least=5), field("employees", equals=4)]}, ""),
    ({"all": [field("company", present=True), field("company", present=False)]}, ""),
    ({"all": [field("company", present=False), field("company", has_word=["ltd"])]}, ""),
    ({"all": [field("custom.size", present=False), field("custom.size", equals="L")]}, ""),
    ({"all": [field("bant.need.status", equals="confirmed"), field("bant.need.status", equals="denied")]}, ""),
    ({"all": [FIT, {"not": FIT}]}, ""),
    ({"all": [{"condition": "fresh_interest"}, {"not": {"condition": "fresh_interest"}}]}, ""),
    ({"all": [{"contactable": True}, {"contactable": False}]}, ""),
    ({"all": [{"opportunity_class": {"in": ["won"]}}, {"opportunity_class": {"not_in": ["won"]}}]}, ""),
]
POSSIBLE: list[dict[str, Any]] = [
    {"fit": {"at_least": 50}},
    {"engagement": {"at_least": 1_000_000}},
    {"level": {"at_least": 6}},
    field("email_domain", in_list="free_mail"),
    {"all": [field("industry", equals="software"), field("industry", equals=" Software ")]},
    {"all": [field("job_title", equals="Sales Director"), field("job_title", has_word=["director", "head"])]},
    {"all": [field("employees", at_least=50), field("employees", at_most=50)]},
    {"all": [field("custom.size", equals="L"), field("custom.size", equals="M")]},
    {"all": [field("company", present=False), field("company", among=["", "none"])]},
    {"all": [FIT, {"not": ENGAGEMENT}]},
    {"any": [field("industry", equals="software"), field("industry", equals="mining")]},
    {"all": [field("email_domain", in_list="free_mail"), field("email_domain", equals="acme.example")]},
]


@pytest.mark.parametrize(("condition", "place"), IMPOSSIBLE)
def test_a_condition_that_can_never_be_true_is_a_fault_at_its_place(condition: dict[str, Any], place: str) -> None:
    assert codes(checked(("/conditions/odd", condition))) == [("fault", "never_true", f"/conditions/odd{place}")]


@pytest.mark.parametrize("condition", POSSIBLE)
def test_a_condition_that_may_be_true_is_none(condition: dict[str, Any]) -> None:
    assert checked(("/conditions/odd", condition)) == []


@pytest.mark.parametrize("condition", [one for one, _ in IMPOSSIBLE])
def test_below_not_and_in_when_it_is_only_a_warning(condition: dict[str, Any]) -> None:
    for odd in ({"not": condition}, {"when": condition, "then": FIT}):
        assert {(one.kind, one.code) for one in checked(("/conditions/odd", odd))} == {("warning", "never_true")}


@given(st.sampled_from([one for one, place in IMPOSSIBLE if not place]), facts_of())
def test_what_is_called_impossible_holds_for_no_lead(condition: dict[str, Any], facts: Any) -> None:
    node = parse_condition(condition)
    assert impossible(PIPELINE, node, {"fit": 50, "engagement": math.inf}) is not None
    if "fit" not in condition and "level" not in condition:  # the random facts carry no score
        assert not node.holds(view_of(PIPELINE, facts, NOON))


@pytest.mark.parametrize(
    ("caps", "most"),
    [
        ([], 50),
        ([{"rule": "title", "points": 5}], 35),
        ([{"group": "company", "points": 20}], 40),
        ([{"ledger": "fit", "points": 12}], 12),
        ([{"rule": "title", "points": 5}, {"group": "company", "points": 20}, {"ledger": "fit", "points": 24}], 24),
        ([{"ledger": "engagement", "points": 1}], 50),
    ],
)
def test_the_most_that_a_lead_can_score_is_after_its_caps(caps: list[object], most: int) -> None:
    grouped = [("/scoring/fit/1/group", "company"), ("/scoring/fit/2/group", "company")]
    unused = {"/conditions/mql": ENGAGEMENT, "/scoring/levels/1/if": {"contactable": True}, "/scoring/caps": caps}
    if {"ledger": "engagement", "points": 1} in caps:
        unused["/conditions/mql"] = {"fit": {"at_least": 1}}
    at_most, beyond = [
        checked(*grouped, *unused.items(), ("/conditions/odd", {"fit": {"at_least": points}}))
        for points in (most, most + 1)
    ]
    assert [fault.code for fault in at_most if fault.kind == "fault"] == []
    assert ("fault", "never_true", "/conditions/odd") in codes(beyond)


@pytest.mark.parametrize(
    ("change", "most"),
    [
        (("/scoring/caps", [{"ledger": "engagement", "points": 29}]), 29),
        (("/scoring/caps", [{"rule": rule, "points": 5} for rule in EARNING]), 20),
        (("/scoring/engagement", [{"id": "unsubscribe", "points": -25, "type": "unsubscribe"}]), 0),
        (("/scoring/decay", [{"to_day": 30, "percent": 0}]), 0),
    ],
)
def test_an_engagement_beyond_rules_caps_and_decay_is_never_reached(change: tuple[str, object], most: int) -> None:
    found = [checked(change, ("/conditions/mql", {"engagement": {"at_least": most + more}})) for more in (0, 1)]
    assert [[fault.code for fault in one if fault.kind == "fault"] for one in found] == [[], ["never_true"]]


def test_a_fit_rule_may_wait_for_the_names_of_its_list() -> None:
    assert checked(("/lists/partners", []), ("/scoring/fit/0/if", field("domain", in_list="partners"))) == []


def stage(**more: object) -> dict[str, object]:
    return {"name": "limbo", **more}


def to_limbo(**more: object) -> dict[str, object]:
    return {"name": "drift", "from": ["inquiry"], "to": "limbo", "by": {"people": ["sdr"]}, **more}


@pytest.mark.parametrize("kind", [{"kind": "open", "order": 15, "skippable": True}, {"kind": "parked"}])
def test_a_stage_that_is_entered_and_never_left_has_no_way_out(kind: dict[str, object]) -> None:
    changes = [("/stages/-", stage(**kind)), ("/actions/-", to_limbo())]
    assert codes(checked(*changes)) == [("fault", "no_way_out", "/stages/11")]
    way_out = {**to_limbo(), "name": "leave", "from": ["limbo"], "to": "disqualified"}
    assert checked(*changes, ("/actions/-", way_out)) == []


def test_two_stages_that_lead_only_to_each_other_have_no_way_out() -> None:
    back = {**to_limbo(), "name": "back", "from": ["limbo"], "to": "void"}
    there = {**to_limbo(), "name": "there", "from": ["void"]}
    stages = [("/stages/-", stage(kind="parked")), ("/stages/-", {"name": "void", "kind": "parked"})]
    found = checked(*stages, *(("/actions/-", action) for action in (to_limbo(), back, there)))
    assert codes(found) == [("fault", "no_way_out", "/stages/11"), ("fault", "no_way_out", "/stages/12")]


def test_a_closed_stage_needs_no_way_out() -> None:
    assert checked(("/stages/-", stage(kind="closed")), ("/actions/-", to_limbo())) == []


@pytest.mark.parametrize("word", ["activity", "sequence"])
def test_an_activity_type_that_nothing_gives_is_a_warning_with_the_nearest_known_one(word: str) -> None:
    condition = {word: {"types": ["webinar", "demo_requst"], "within_days": 30}}
    found = checked(("/conditions/odd", condition))
    assert codes(found) == [("warning", "unknown_activity_type", f"/conditions/odd/{word}/types/1")]
    assert found[0].detail.endswith("did you mean `demo_request`?")
    rule = {"id": "typo", "points": 1, "type": "demo_requst"}
    assert checked(("/conditions/odd", condition), ("/scoring/engagement/-", rule)) == []


def types_of(preset: str) -> set[str]:
    """The activity types that the preset writes: plain words, and the words that its expression results in."""
    made = make_document(preset, {})
    written = str(made.activity.type)
    results = set(re.findall(r"(?:&&|[|][|]) '([a-z_]+)'", written)) or {written.strip("'")}
    named = {route.name for route in made.route if route.name} | {made.defaults.activity_type or "form_fill"}
    return results - {"yes"} | named  # 'yes': what is compared where a webinar's list has no column of attendance


@pytest.mark.parametrize("preset", preset_names())
def test_every_activity_type_of_a_preset_is_known(preset: str) -> None:
    assert types_of(preset) <= KNOWN


@pytest.mark.parametrize(
    ("pointer", "items"),
    [
        ("/stages", [{"name": f"s{n}", "kind": "parked"} for n in range(33)]),
        ("/actions", [{**to_limbo(), "name": f"a{n}"} for n in range(65)]),
        ("/opportunity/actions", [{**to_limbo(), "name": f"a{n}"} for n in range(65)]),
    ],
)
def test_more_stages_or_actions_than_allowed_are_a_fault_of_their_list(pointer: str, items: list[object]) -> None:
    assert codes(checked((pointer, items))) == [("fault", "invalid", pointer)]
