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
from app.policy.never_true import Judge
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
    ({"all": [field("industry", equals="software"), {"all": [field("industry", among=["mining", "steel"])]}]}, ""),
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
    {"all": [field("custom.size", present=False), field("custom.size", among=["", "none"])]},
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
    assert Judge(PIPELINE, {"fit": 50, "engagement": math.inf}).why(node) is not None
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


# Two conditions of one subject: the second is one that excludes the first, equals it, or lies beside it by one.
NUMBERS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    *(
        ({"employees": ("at_least", 50)}, {"employees": (operator, 50 + step)}, possible)
        for operator, step, possible in [
            ("at_most", -1, False),
            ("at_most", 0, True),
            ("at_most", 1, True),
            ("is", -1, False),
            ("is", 0, True),
            ("is", 1, True),
        ]
    ),
]


@pytest.mark.parametrize(("first", "second", "possible"), NUMBERS)
def test_ranges_that_exclude_each_other_are_told_and_those_that_touch_are_not(
    first: dict[str, Any], second: dict[str, Any], possible: bool
) -> None:
    parts = [{"field": name, operator: value} for one in (first, second) for name, (operator, value) in one.items()]
    assert [one.code for one in checked(("/conditions/odd", {"all": parts}))] == ([] if possible else ["never_true"])


WORDS: dict[str, Any] = {
    "fit": lambda n: {"fit": {"at_least": n}},
    "engagement": lambda n: {"engagement": {"at_least": n}},
    "level": lambda n: {"level": {"at_least": n}},
    "attempts": lambda n: {"attempts": {"at_least": n}},
    "identities": lambda n: {"identities": {"at_least": n}},
    "activity": lambda n: {"activity": {"types": ["webinar"], "within_days": 30, "min_count": n}},
    "bant": lambda n: {"bant": {"min": n}},
    "employees": lambda n: {"field": "employees", "at_least": n},
    "due": lambda n: {"field": "bant.timing.due_in_days", "at_least": n},
    "amount": lambda n: {"field": "bant.budget.amount", "at_least": n},
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_so_much_and_not_so_much_exclude_each_other_from_the_same_number_down(word: str, step: int) -> None:
    both = {"all": [WORDS[word](2), {"not": WORDS[word](2 + step)}]}
    codes_of = [one.code for one in checked(("/conditions/odd", both)) if one.kind == "fault"]
    assert codes_of == ([] if step == 1 else ["never_true"])


@pytest.mark.parametrize("wanted", [1, 499, 500, 501, 1000])
@pytest.mark.parametrize("word", ["activity", "attempts"])
def test_more_activities_than_rules_see_are_never_counted(word: str, wanted: int) -> None:
    found = checked(("/conditions/odd", WORDS[word](wanted)))
    assert [one.code for one in found] == (["never_true"] if wanted > 500 else [])
    assert not found or "500" in found[0].detail


DIRECTOR, MINING = field("job_title", has_word=["director"]), field("industry", equals="mining")
LARGE, SMALL = field("employees", at_least=500), field("employees", at_most=50)
NEVER: list[dict[str, Any]] = [
    {"any": [{"all": [LARGE, SMALL]}, {"all": [FIT, {"not": FIT}]}]},
    {"at_least": {"count": 2, "of": [LARGE, SMALL]}},
    {"at_least": {"count": 3, "of": [LARGE, SMALL, MINING]}},
    {"all": [{"any": [LARGE, SMALL]}, {"not": LARGE}, {"not": SMALL}]},
    {"not": {"any": [LARGE, {"not": LARGE}]}},
    {"not": {"level": {"at_least": 0}}},
    {"not": {"bant": {"min": 0}}},
    {"all": [{"when": LARGE, "then": MINING}, LARGE, {"not": MINING}]},
    {"all": [DIRECTOR, {"not": DIRECTOR}]},
    {
        "all": [
            field("job_title", has_word=["director", "head"]),
            {"not": field("job_title", has_word=["head", "director"])},
        ]
    },
    {"all": [field("seniority", equals="vp"), {"not": field("seniority", among=["vp", "director"])}]},
    field("employees", at_most=-1),
    field("employees", equals=-5),
    field("job_title", has_word=["++", " - "]),
    {"all": [field("custom.tool", equals="CRM"), {"not": field("custom.tool", among=["CRM", "ERP"])}]},
    {
        "all": [
            {"consent": {"purpose": "sms", "state": ["given"]}},
            {"consent": {"purpose": "sms", "state": ["refused"]}},
        ]
    },
    {"all": [{"exception": True}, {"exception": False}]},
    {
        "all": [
            {"activity": {"types": ["webinar"], "within_days": 7}},
            {"not": {"activity": {"kind": None, "types": ["webinar", "call"], "within_days": 30}}},
        ]
    },
]
MAYBE: list[dict[str, Any]] = [
    {"at_least": {"count": 2, "of": [LARGE, SMALL, MINING]}},
    {"all": [{"any": [LARGE, SMALL]}, {"not": LARGE}]},
    {"not": {"all": [LARGE, SMALL]}},
    {"all": [DIRECTOR, {"not": field("job_title", equals="director")}]},
    {"all": [field("job_title", has_word=["director", "head"]), {"not": field("job_title", has_word=["head"])}]},
    {"all": [{"not": LARGE}, {"not": SMALL}]},
    {"all": [field("email_domain", in_list="free_mail"), field("email_domain", equals="gmail.com")]},
    {"all": [field("company", present=True), {"not": field("email_domain", in_list="free_mail")}]},
    {"all": [field("custom.tool", equals="CRM"), {"not": field("custom.tool", equals="ERP")}]},
    {"all": [{"bant": {"min": 3, "by": "people"}}, {"not": {"bant": {"min": 1, "by": ["ae"]}}}]},
    {
        "all": [
            {"activity": {"types": ["webinar"], "within_days": 30}},
            {"not": {"activity": {"types": ["webinar"], "within_days": 7}}},
        ]
    },
    {
        "all": [
            {"consent": {"purpose": "sms", "state": ["given"]}},
            {"consent": {"purpose": "email", "state": ["refused"]}},
        ]
    },
    {
        "all": [
            field("bant.budget.amount", at_least=5),
            {"not": field("bant.budget.amount", among=[5, 6])},
            field("bant.budget.amount", at_most=6),
        ]
    },
    {"not": field("kind", equals="person")},
]


@pytest.mark.parametrize("condition", NEVER)
def test_a_condition_of_several_words_that_no_lead_can_meet_is_a_fault(condition: dict[str, Any]) -> None:
    found = checked(("/conditions/odd", condition))
    assert {one.code for one in found} == {"never_true"}
    assert all(one.place.startswith("/conditions/odd") for one in found)


@pytest.mark.parametrize("condition", MAYBE)
def test_a_condition_of_several_words_that_a_lead_may_meet_is_no_fault(condition: dict[str, Any]) -> None:
    assert [one for one in checked(("/conditions/odd", condition)) if one.kind == "fault"] == []


LEAVES: list[dict[str, Any]] = [
    LARGE,
    SMALL,
    field("employees", equals=50),
    DIRECTOR,
    field("job_title", equals="director"),
    field("company", present=True),
    field("company", present=False),
    {"contactable": True},
    {"contactable": False},
    {"activity": {"types": ["webinar"]}},
    {"activity": {"types": ["webinar"], "min_count": 2}},
    {"bant": {"min": 1}},
    {"bant": {"min": 2, "must": ["need"]}},
]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda of: {"all": of}),
        st.lists(inner, min_size=1, max_size=3).map(lambda of: {"any": of}),
        inner.map(lambda one: {"not": one}),
        st.tuples(inner, inner).map(lambda pair: {"when": pair[0], "then": pair[1]}),
        st.lists(inner, min_size=2, max_size=3).map(lambda of: {"at_least": {"count": 2, "of": of}}),
    ),
    max_leaves=6,
)


@given(TREES, st.lists(facts_of(), min_size=1, max_size=5))
def test_whatever_holds_for_some_lead_is_not_called_impossible(condition: dict[str, Any], some: list[Any]) -> None:
    node = parse_condition(condition)
    holds = any(node.holds(view_of(PIPELINE, facts, NOON)) for facts in some)
    assert not holds or Judge(PIPELINE, {"fit": 50, "engagement": math.inf}).why(node) is None


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [
        ("seniority", "zzz", None),
        ("seniority", "directer", "director"),
        ("seniority", "C_Level ", ""),
        ("rank", "Haed", "head"),
        ("role", "financ", "finance"),
        ("country", "Germany", "DE"),
        ("country", "Deutschland", "DE"),
        ("country", "Großbritannien", None),
        ("country", "POL", "PL"),
        ("country", "de", ""),
        ("country", "XK", ""),
        ("language", "fil", ""),
        ("bant.budget.currency", "Euro", "EUR"),
        ("bant.budget.currency", "eur", ""),
        ("channel", "webform", "web_form"),
        ("email_status", "vald", "valid"),
        ("business", "exsting", "existing"),
        ("bant.need.status", "confirmd", "confirmed"),
    ],
)
@pytest.mark.parametrize("operator", ["equals", "among"])
def test_a_value_outside_a_closed_vocabulary_is_a_fault_that_names_the_nearest(
    name: str, value: str, nearest: str | None, operator: str
) -> None:
    found = checked(("/conditions/odd", field(name, **{operator: value if operator == "equals" else [value]})))
    place = f"/conditions/odd/{'is' if operator == 'equals' else 'in'}"
    assert codes(found) == ([] if nearest == "" else [("fault", "unknown_value", place)])
    assert not nearest or f"did you mean `{nearest}`?" in found[0].detail


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("employees", ["many", True, "50"]),
        ("bant.timing.due_in_days", ["soon", False]),
        ("bant.budget.amount", ["12000"]),
        ("free_mail", ["yes", 1]),
        ("job_title", [5, True]),
        ("utm_campaign", [2026]),
    ],
)
def test_a_value_of_another_type_is_a_fault_of_every_operator_that_takes_it(name: str, values: list[Any]) -> None:
    for value in values:
        for operator, argument in (("is", value), ("in", [value])):
            if name == "free_mail" and operator == "in":
                continue
            found = checked(("/conditions/odd", {"field": name, operator: argument}))
            assert codes(found) == [("fault", "wrong_type", f"/conditions/odd/{operator}")]


@pytest.mark.parametrize(
    ("condition", "nearest"),
    [
        ({"condition": "fresh_intrest"}, "fresh_interest"),
        ({"persona": ["decision_makr"]}, "decision_maker"),
        ({"when": {"from": ["recyled"]}, "then": FIT}, "recycled"),
        ({"when": {"reason": ["timming"]}, "then": FIT}, "timing"),
        (field("domain", in_list="competitor"), "competitors"),
        (field("job_titel", present=True), "job_title"),
    ],
)
def test_a_name_that_is_not_known_is_told_with_the_nearest(condition: dict[str, Any], nearest: str) -> None:
    (found,) = checked(("/conditions/odd", condition))
    assert found.code.startswith("unknown_")
    assert found.detail.endswith(f"; did you mean `{nearest}`?")


BACK = {
    "name": "cool",
    "from": ["mql"],
    "to": "recycled",
    "by": {"machines": ["policy"]},
    "needs": ["reason_code"],
    "reasons": "recycle",
}
ITEM = {"do": "cool", "reason_code": "timing"}
BASELINE = {"effects": [{"set_baseline": "now"}]}


def circles(*changes: tuple[str, object]) -> list[tuple[str, str]]:
    return [(one.kind, one.place) for one in checked(*changes) if one.code == "automatic_circle"]


@pytest.mark.parametrize(
    "changes",
    [
        [("/actions/-", BACK), ("/automation/-", ITEM)],
        [("/actions/-", {**BACK, "to": "inquiry"}), ("/automation/-", ITEM)],
        [("/actions/-", {**BACK, **BASELINE}), ("/automation/-", ITEM)],
        [("/actions/-", {**BACK, **BASELINE}), ("/automation/-", {**ITEM, "if": LARGE})],
    ],
)
def test_automatic_transitions_that_go_round_are_told_at_the_one_that_closes_the_circle(changes: Any) -> None:
    assert circles(*changes) == [("warning", "/automation/3/do")]
    (told,) = [one.detail for one in checked(*changes) if one.code == "automatic_circle"]
    assert "`qualify`" in told
    assert "`cool` (mql → " in told
    assert "exclude each other" in told


def test_a_shipped_policy_that_recycles_by_itself_what_it_has_qualified_is_told() -> None:
    assert circles(("/automation/-", {"do": "recycle", "reason_code": "stalled"})) == [("warning", "/automation/3/do")]


def test_a_circle_over_a_breach_or_three_stages_is_told_too() -> None:
    breach = {"minutes": 5, "met_by": "contact_attempt", "on_breach": [{"do": "cool", "reason_code": "timing"}]}
    assert circles(("/actions/-", BACK), ("/clocks/response", breach)) == [
        ("warning", "/clocks/response/on_breach/0/do")
    ]
    stages = [("/stages/-", {"name": "limbo", "kind": "parked"})]
    first, second = {**BACK, "to": "limbo"}, {**BACK, "name": "thaw", "from": ["limbo"]}
    steps = [
        ("/actions/-", first),
        ("/actions/-", second),
        ("/automation/-", ITEM),
        ("/automation/-", {**ITEM, "do": "thaw"}),
    ]
    assert circles(*stages, *steps) == [("warning", "/automation/4/do")]


def test_a_circle_that_waits_for_new_interest_or_whose_conditions_exclude_each_other_is_not_told() -> None:
    breach = {"minutes": 5, "met_by": "contact_attempt", "on_breach": [{"do": "cool", "reason_code": "timing"}]}
    assert circles(("/actions/-", {**BACK, **BASELINE}), ("/clocks/response", breach)) == []
    opposite = {**ITEM, "if": {"not": {"condition": "mql"}}}
    assert circles(("/actions/-", BACK), ("/automation/-", opposite)) == []
    assert (
        circles(
            ("/actions/-", {**BACK, "to": "disqualified", "reasons": "disqualify"}),
            ("/automation/-", {**ITEM, "reason_code": "no_need"}),
        )
        == []
    )
