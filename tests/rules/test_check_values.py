"""Each value of a condition is one that its field or word can have; names and values are told with the nearest."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.matching.normalize import normalize
from app.policy.attributes import FIELDS
from app.policy.document import Policy
from app.policy.facts import CRITERIA, PEOPLE, Actor, Ask, Confirmation, Facts
from app.policy.fault import Fault
from app.policy.held import held
from app.policy.policy_view import view_of
from app.policy.read import read, read_document
from tests.rules.make import NOON, PIPELINE, document, parse_condition, uuid
from tests.rules.strategies import actors, facts_of
from tests.rules.test_check import index_of, put
from tests.rules.test_check_meaning import checked, codes, field

TEXTS = [name for name, one in FIELDS.items() if one.type == "text"]
OWNERS = (["actor"], ["nobody"], ["team"], ["actor", "nobody"], ["actor", "team"], ["nobody", "team"])


def told(condition: dict[str, Any], *more: tuple[str, object]) -> list[Fault]:
    return checked(("/conditions/odd", condition), *more)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_no_text_field_is_ever_blank(name: str, blank: str) -> None:
    for operator in ("is", "in"):
        found = told({"field": name, operator: blank if operator == "is" else ["x", blank]})
        assert ("fault", "unknown_value", f"/conditions/odd/{operator}") in codes(found)


# A value that the field never has, and what it has instead; None where that cannot be said.
WRITTEN: list[tuple[str, str, str | None]] = [
    ("domain", "https://www.nordsoft.ro/about?x=1", "nordsoft.ro"),
    ("domain", "www.nordsoft.ro", "nordsoft.ro"),
    ("domain", "anna@nordsoft.ro", "nordsoft.ro"),
    ("domain", "shop.nordsoft.co.uk", "nordsoft.co.uk"),
    ("domain", "gmail.com", None),
    ("domain", "nordsoft", None),
    ("email_domain", "@nordsoft.ro", "nordsoft.ro"),
    ("email_domain", "anna@nordsoft.ro", "nordsoft.ro"),
    ("email_domain", "http://nordsoft.ro/", "nordsoft.ro"),
    ("email_domain", "münchen.de", "xn--mnchen-3ya.de"),
    ("email_domain", "nordsoft", None),
    ("email", "anna", None),
    ("email", "Anna Pop <anna@nordsoft.ro>", "anna@nordsoft.ro"),
    ("phone", "+40 (21) 555-0100", "+40215550100"),
    ("phone", "021 555 0100", None),
    ("company", "n/a", None),
    ("company", "Acme  GmbH", "Acme GmbH"),
    ("job_title", "Head   of Sales", "Head of Sales"),
    ("job_title", "-", None),
    ("industry", "n/a", None),
    ("country", "UK", "GB"),
    ("country", "U.K.", "GB"),
    ("country", "Россия", "RU"),
    ("country", "Great Britain", "GB"),
    ("country", "USA", "US"),
    ("country", "Holland", "NL"),
    ("language", "de-AT", "de"),
    ("bant.budget.currency", "Eurro", "EUR"),
]
HELD = [
    *(("domain", "nordsoft.ro"), ("domain", "NordSoft.ro "), ("email_domain", "mail.nordsoft.ro")),
    *(("email_domain", "gmail.com"), ("email", "Anna@Nordsoft.ro"), ("phone", "+40215550100"), ("company", "Test")),
    *(("company", "ACME GmbH"), ("job_title", "CFO"), ("first_name", "X"), ("full_name", "Anna Pop")),
    *(("website", "nordsoft.ro"), ("country", "gb"), ("language", "DE"), ("utm_source", "-"), ("message", ".")),
    *(("bant.need.value", "yes"), ("source", "Website form"), ("custom.size", ""), ("custom.size", "n/a")),
]


@pytest.mark.parametrize(("name", "value", "instead"), WRITTEN)
@pytest.mark.parametrize("operator", ["is", "in", "in_list"])
def test_a_value_that_the_field_writes_otherwise_is_told_with_how_it_writes_it(
    name: str, value: str, instead: str | None, operator: str
) -> None:
    argument = {"is": value, "in": [value], "in_list": "odd"}[operator]
    found = told({"field": name, operator: argument}, ("/lists/odd", [value]))
    place = "/lists/odd/0" if operator == "in_list" else f"/conditions/odd/{operator}"
    assert ("fault", "unknown_value", place) in codes(found)
    [detail] = [one.detail for one in found if one.code == "unknown_value"]
    assert detail.startswith(f"`{name}` is never `{value}`")
    assert ("did you mean" in detail) is (instead is not None)
    assert instead is None or f"did you mean `{instead}`?" in detail


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("country", "Germny", "DE"),
        ("country", "Zamunda", None),
        ("country", "zz", None),
        ("language", "English", "en"),
        ("language", "German", "de"),
    ],
)
@pytest.mark.parametrize("operator", ["is", "in", "in_list", "has_word"])
def test_a_text_that_names_no_code_is_only_warned_of_since_fields_keep_it_as_it_was_typed(
    name: str, value: str, meant: str | None, operator: str
) -> None:
    assert normalize({"first_name": "Anna", name: value}, {}, None).fields[name] == value
    argument = {"is": value, "in_list": "odd"}.get(operator, [value])
    [found] = told({"field": name, operator: argument}, ("/lists/odd", [value]))
    assert (found.kind, found.code) == ("warning", "unknown_value")
    assert ("did you mean" in found.detail) is (meant is not None)
    assert meant is None or f"did you mean `{meant}`?" in found.detail


@pytest.mark.parametrize(("name", "value"), HELD)
def test_a_value_that_the_field_can_have_is_none(name: str, value: str) -> None:
    listed = [("/lists/odd", [value])] if value else []
    assert told(field(name, equals=value)) == told(field(name, among=[value])) == []
    assert not listed or told(field(name, in_list="odd"), *listed) == []


@given(st.sampled_from(["email", "phone", "company", "job_title", "industry", "language"]), st.text(max_size=40))
def test_what_a_form_gives_a_field_is_a_value_that_it_can_have(name: str, typed: str) -> None:
    """The other direction of the check: no value of a real lead is called impossible."""
    stored = normalize({"first_name": "Anna", "last_name": "Pop", name: typed}, {}, None).fields.get(name)
    assert (
        not isinstance(stored, str) or not stored.strip() or (held(name, stored) or "").casefold() == stored.casefold()
    )


def test_a_list_is_checked_by_all_fields_that_are_compared_with_it() -> None:
    """A value is told where none of them has it; a list that nothing compares is not."""
    both = {"any": [field("email_domain", in_list="odd"), field("domain", in_list="odd")]}
    values = ["gmail.com", "nordsoft.ro", "https://rival.com"]
    assert codes(told(both, ("/lists/odd", values))) == [("fault", "unknown_value", "/lists/odd/2")]
    assert codes(told(field("domain", in_list="odd"), ("/lists/odd", values))) == [
        ("fault", "unknown_value", "/lists/odd/0"),
        ("fault", "unknown_value", "/lists/odd/2"),
    ]
    assert checked(("/lists/odd", values)) == []


@pytest.mark.parametrize("name", ["country", "company", "industry", "custom.size"])
def test_the_shipped_list_of_domains_is_for_fields_with_domains(name: str) -> None:
    found = told(field(name, in_list="free_mail"))
    assert codes(found) == [("fault", "comparison_not_possible", "/conditions/odd/in_list")]


@pytest.mark.parametrize(
    ("name", "word", "nearest"),
    [
        ("country", "germany", "DE"),
        ("seniority", "directer", "director"),
        ("role", "financ", "finance"),
        ("business", "exsting", "existing"),
    ],
)
def test_a_word_that_no_value_of_the_field_has_is_told(name: str, word: str, nearest: str) -> None:
    [found] = told(field(name, has_word=["it" if name == "role" else nearest.lower(), word]))
    assert codes([found]) == [("fault", "unknown_value", "/conditions/odd/has_word")]
    assert f"did you mean `{nearest}`?" in found.detail


RANGES = {"employees": (0, 10_000_000), "bant.budget.amount": (0, None), "bant.timing.due_in_days": (-84_006, 84_006)}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("beyond", [0, 1, 1000])
def test_a_number_beyond_the_range_of_the_field_is_never_true(name: str, beyond: int) -> None:
    low, high = RANGES[name]
    wrong = beyond > 0
    conditions = [field(name, equals=low - beyond), field(name, at_most=low - beyond)]
    if high is not None:
        conditions.append(field(name, equals=high + beyond))
    if high is not None and high < 1_000_000:
        conditions += [field(name, at_least=high + beyond), field(name, between=[high + beyond, high + 2000])]
    for condition in conditions:
        found = told(condition)
        assert [one.code for one in found if one.kind == "fault"] == (["never_true"] if wrong else []), condition
        assert not wrong or f"{low:,}" in found[0].detail


@pytest.mark.parametrize("operator", ["is", "in", "at_least", "at_most", "between"])
@pytest.mark.parametrize(("value", "whole"), [(10.5, 10), (11.0, 11), (-0.4, 0), (1e20, 10**20)])
def test_a_number_with_decimals_is_told_with_a_whole_one(operator: str, value: float, whole: int) -> None:
    argument = {"in": [1, value], "between": [1, value]}.get(operator, value)
    [found] = told({"field": "employees", operator: argument})
    assert found.detail == f"write a whole number, such as {whole}"


@pytest.mark.parametrize("value", [{}, [], None])
def test_a_value_of_no_simple_type_has_one_sentence(value: object) -> None:
    [found] = told({"field": "employees", "in": [value]})
    assert found.detail == "write text, a whole number, true or false"


@pytest.mark.parametrize("one", OWNERS)
@pytest.mark.parametrize("other", OWNERS)
def test_owners_exclude_each_other_where_nobody_can_be_both(one: list[str], other: list[str]) -> None:
    found = told({"all": [{"owner": one}, {"owner": other}]})
    assert [fault.code for fault in found] == ([] if can_be_both(one, other) else ["never_true"])


def can_be_both(one: list[str], other: list[str]) -> bool:
    """Nobody, or somebody: the actor, a user of the team, or both."""
    return any(not each.isdisjoint(one) and not each.isdisjoint(other) for each in ({"nobody"}, {"actor", "team"}))


BANT = [{"bant": {"min": 1, "must": ["need"]}}, {"bant": {"min": 4}}, {"bant": {"min": 0, "must": ["need", "budget"]}}]
STATUS = "bant.need.status"


@pytest.mark.parametrize("bant", BANT)
@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (field(STATUS, equals="denied"), "warning"),
        (field(STATUS, among=["denied", "unknown"]), "warning"),
        ({"not": field(STATUS, equals="confirmed")}, "warning"),
        (field(STATUS, present=False), "fault"),
        (field(STATUS, equals="confirmed"), None),
        (field(STATUS, among=["denied", "confirmed"]), None),
        (field("bant.authority.value", equals="no"), None),
    ],
)
def test_what_must_be_confirmed_is_not_denied_unless_users_disagree(
    bant: dict[str, Any], says: dict[str, Any], kind: str | None
) -> None:
    found = told({"all": [bant, says]})
    assert codes(found) == ([] if kind is None else [(kind, "never_true", "/conditions/odd")])


def absent(*criteria: str) -> list[dict[str, Any]]:
    return [field(f"bant.{one}.status", present=False) for one in criteria]


def test_where_no_confirmation_is_asked_nothing_need_be_said_of_any_criterion() -> None:
    assert codes(told({"all": absent(*CRITERIA)})) == []


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("least", [0, 1, 2, 3, 4])
def test_so_many_confirmations_leave_only_so_many_criteria_of_which_nothing_is_said(least: int, count: int) -> None:
    silent = absent(*CRITERIA[:count])
    kinds = [one.kind for one in told({"all": [{"bant": {"min": least}}, *silent]}) if one.code == "never_true"]
    assert kinds == (["fault"] if least + count > 4 else [])
    denied = [field(f"bant.{one}.status", equals="denied") for one in CRITERIA[:count]]
    kinds = [one.kind for one in told({"all": [{"bant": {"min": least}}, *denied]}) if one.code == "never_true"]
    assert kinds == (["warning"] if least + count > 4 else [])


@pytest.mark.parametrize(
    "says",
    [
        field("bant.need.value", equals="no"),
        field("bant.need.value", present=True),
        field("bant.need.status", equals="unknown"),
    ],
)
def test_where_something_is_said_of_a_criterion_its_status_is_not_absent(says: dict[str, Any]) -> None:
    assert codes(told({"all": [says, *absent("need")]})) == [("fault", "never_true", "/conditions/odd")]
    assert told({"all": [says, *absent("budget")]}) == []
    assert told({"all": [field("bant.need.value", present=False), *absent("need")]}) == []


BY = ["any", "people", "actor", ["sdr"], ["ae"], ["sdr", "ae"], ["manager"], ["manager", "admin"], [*PEOPLE]]


@pytest.mark.parametrize("one", BY, ids=str)
@pytest.mark.parametrize("other", BY, ids=str)
def test_whoever_is_among_others_cannot_have_confirmed_where_they_have_not(one: Any, other: Any) -> None:
    def confirmed(by: Any) -> dict[str, Any]:
        return {"bant": {"min": 1, "must": ["need"], "by": by}}

    def counts(by: Any, user: Actor, actor: Actor) -> bool:
        rows = (Confirmation("need", "confirmed", user.user_id or uuid("x"), user.role, NOON),)
        view = view_of(PIPELINE, Facts(confirmations=rows), NOON, Ask("accept", actor))
        return parse_condition(confirmed(by)).holds(view)

    users = [Actor(f"usr_{role}", "human", role, uuid(role)) for role in PEOPLE]
    possible = any(counts(one, *pair) and not counts(other, *pair) for pair in product(users, users))
    found = told({"all": [confirmed(one), {"not": confirmed(other)}]})
    assert [fault.code for fault in found if fault.kind == "fault"] == ([] if possible else ["never_true"])


@given(st.data(), facts_of(), actors)
def test_what_can_never_be_true_of_bant_holds_for_nobody(data: st.DataObject, facts: Facts, actor: Actor) -> None:
    by = st.sampled_from(BY)
    must = st.lists(st.sampled_from(CRITERIA), max_size=2, unique=True)
    confirmed = st.builds(lambda n, m, by: {"bant": {"min": n, "must": m, "by": by}}, st.integers(0, 4), must, by)
    of_status = [{"is": "denied"}, {"is": "confirmed"}, {"present": False}, {"present": True}, {"in": ["unknown"]}]
    status = st.builds(
        lambda name, says: {"field": f"bant.{name}.status", **says},
        st.sampled_from(CRITERIA),
        st.sampled_from(of_status),
    )
    either = st.one_of(confirmed, status)
    parts = data.draw(st.lists(st.one_of(either, either.map(lambda one: {"not": one})), min_size=2, max_size=4))
    if any((one.kind, one.place) == ("fault", "/conditions/odd") for one in told({"all": parts})):
        view = view_of(PIPELINE, facts, NOON, Ask("accept", actor))
        assert not parse_condition({"all": parts}).holds(view)


ALWAYS = [
    {"fit": {"at_least": -115}},
    {"fit": {"at_least": -1000}},
    {"level": {"at_least": 0}},
    {"bant": {"min": 0}},
    {"opportunity_class": {"not_in": []}},
    {"consent": {"purpose": "sms", "state": ["given", "pending", "refused", "withdrawn", "unknown"]}},
]
SOMETIMES = [
    {"fit": {"at_least": -114}},
    {"engagement": {"at_least": -1000}},
    {"level": {"at_least": 1}},
    {"bant": {"min": 1}},
    {"opportunity_class": {"not_in": ["lost"]}},
    {"consent": {"purpose": "sms", "state": ["given", "pending", "refused", "withdrawn"]}},
    {"owner": ["actor", "nobody", "team"]},
    {"actor": {"roles": ["marketing", "sdr", "ae", "manager", "admin"]}},
]


@pytest.mark.parametrize("condition", ALWAYS)
def test_a_condition_that_asks_for_nothing_is_a_warning(condition: dict[str, Any]) -> None:
    assert codes(told(condition)) == [("warning", "always_true", "/conditions/odd")]
    assert ("warning", "always_true", "/conditions/odd/any/1") in codes(
        told({"any": [{"level": {"at_least": 1}}, condition]})
    )


@pytest.mark.parametrize("condition", SOMETIMES)
def test_a_condition_that_may_be_false_is_none(condition: dict[str, Any]) -> None:
    assert told(condition) == []


@given(st.sampled_from(ALWAYS[3:]), facts_of())
def test_what_is_called_always_true_holds_for_every_lead(condition: dict[str, Any], facts: Any) -> None:
    assert parse_condition(condition).holds(view_of(PIPELINE, facts, NOON))


def exclusive(*values: list[str], points: int = 30) -> list[dict[str, Any]]:
    """Fit rules that each give points for some ranks."""
    return [{"id": f"r{n}", "points": points, "if": field("rank", among=of)} for n, of in enumerate(values)]


@pytest.mark.parametrize(
    ("rules", "caps", "most"),
    [
        (exclusive(["vp"], ["director"]), [], 30),
        (exclusive(["vp"], ["director"], ["vp", "head"]), [], 60),
        (exclusive(["vp"], ["director"]), [{"rule": "r0", "points": 10}], 40),  # said only where no cap divides them
        (exclusive(["vp"], ["director"]), [{"ledger": "fit", "points": 20}], 20),
        ([*exclusive(["vp"]), {"id": "c", "points": 30, "if": field("custom.rank", equals="vp")}], [], 60),
    ],
)
def test_points_for_values_of_which_a_lead_has_one_do_not_add_up(rules: Any, caps: Any, most: int) -> None:
    unused = [("/conditions/mql", {"engagement": {"at_least": 1}}), ("/scoring/levels/1/if", {"contactable": True})]
    changes = [("/scoring/fit", rules), ("/scoring/caps", caps), *unused]
    faults = [
        [one.place for one in told({"fit": {"at_least": points}}, *changes) if one.kind == "fault"]
        for points in (most, most + 1)
    ]
    assert faults == [[], ["/conditions/odd"]]


ACCEPT = f"/actions/{index_of('accept')}"
# Where a policy names something: a name that is nearly one that it has, its fault, and what was meant.
NAMES: list[tuple[str, object, str, str, str]] = [
    ("/milestones/0/stage", "mq", "/milestones/0/stage", "unknown_stage", "mql"),
    ("/actions/1/from", ["suspekt"], "/actions/1/from/0", "unknown_stage", "suspect"),
    ("/actions/1/to", "inqiry", "/actions/1/to", "unknown_stage", "inquiry"),
    ("/actions/1/to", "any_opne", "/actions/1/to", "unknown_stage", "any_open"),
    ("/actions/0/to_if/0/stage", "suspekt", "/actions/0/to_if/0/stage", "unknown_stage", "suspect"),
    ("/actions/1/reasons", "recycel", "/actions/1/reasons", "unknown_reasons", "recycle"),
    ("/actions/1/by/people", ["manger"], "/actions/1/by/people/0", "invalid", "manager"),
    ("/actions/1/by/machines", ["polcy"], "/actions/1/by/machines/0", "invalid", "policy"),
    ("/actions/1/needs", ["reson_code"], "/actions/1/needs/0", "invalid", "reason_code"),
    (f"{ACCEPT}/effects/0", {"assign": "actr"}, f"{ACCEPT}/effects/0/assign", "unknown_route", "actor"),
    (f"{ACCEPT}/effects/0", {"start_clock": "respons"}, f"{ACCEPT}/effects/0/start_clock", "unknown_clock", "response"),
    (
        f"{ACCEPT}/effects/0",
        {"emit": "lead.recycledue"},
        f"{ACCEPT}/effects/0/emit",
        "unknown_event",
        "lead.recycle_due",
    ),
    ("/automation/0/do", "qualfy", "/automation/0/do", "unknown_action", "qualify"),
    (
        "/automation/0",
        {"do": "disqualify", "reason_code": "compettor"},
        "/automation/0/reason_code",
        "unknown_reason",
        "competitor",
    ),
    ("/scoring/caps", [{"rule": "titel", "points": 1}], "/scoring/caps/0/rule", "unknown_rule", "title"),
    ("/scoring/caps", [{"ledger": "engagment", "points": 1}], "/scoring/caps/0/ledger", "invalid", "engagement"),
    ("/routing/sdr/role", "sdrr", "/routing/sdr/role", "invalid", "sdr"),
    ("/routing/sdr/method", "round_robbin", "/routing/sdr/method", "invalid", "round_robin"),
    ("/clocks/response/met_by", "contact_atempt", "/clocks/response/met_by", "unknown_action", "contact_attempt"),
    ("/clocks/response/on_breach/0", {"assign": "sdx"}, "/clocks/response/on_breach/0/assign", "unknown_route", "sdr"),
    ("/clocks/response/on_breach/0", {"do": "recycel"}, "/clocks/response/on_breach/0/do", "unknown_action", "recycle"),
    ("/conversion/class/sqll", "qualified", "/conversion/class/sqll", "unknown_stage", "sql"),
    ("/conversion/class/sql", "qualifed", "/conversion/class/sql", "invalid", "qualified"),
    ("/opportunity/actions/0/to", "qualifed", "/opportunity/actions/0/to", "unknown_stage", "qualified"),
    ("/opportunity/actions/0/from/0", "unqualifed", "/opportunity/actions/0/from/0", "unknown_stage", "unqualified"),
    ("/benchmarks/0/from", "mqll", "/benchmarks/0/from", "unknown_milestone", "mql"),
    ("/review", "quaterly", "/review", "invalid", "quarterly"),
    ("/conditions/odd", {"condition": "fresh_intrest"}, "/conditions/odd", "unknown_condition", "fresh_interest"),
    ("/conditions/odd", {"assignable": "sdx"}, "/conditions/odd/assignable", "unknown_route", "sdr"),
    ("/conditions/odd", {"owner": ["nobdy"]}, "/conditions/odd/owner/0", "invalid", "nobody"),
    ("/conditions/odd", {"actor": {"roles": ["marketting"]}}, "/conditions/odd/actor/roles/0", "invalid", "marketing"),
    ("/conditions/odd", {"bant": {"min": 1, "must": ["budgt"]}}, "/conditions/odd/bant/must/0", "invalid", "budget"),
    ("/conditions/odd", {"activity": {"kind": "intrest"}}, "/conditions/odd/activity/kind", "invalid", "interest"),
]


@pytest.mark.parametrize(("pointer", "value", "place", "code", "meant"), NAMES)
def test_a_name_that_is_nearly_right_is_told_with_the_right_one(
    pointer: str, value: object, place: str, code: str, meant: str
) -> None:
    changed = document(PIPELINE)
    put(pointer, value)(changed)
    found = read_document(changed)
    assert isinstance(found, list)
    [detail] = [one.detail for one in found if (one.place, one.code) == (place, code)]
    assert f"did you mean `{meant}`?" in detail


def test_the_example_of_the_documentation_has_no_value_that_is_told() -> None:
    assert isinstance(read(Path("examples/shop_policy.yaml").read_bytes()), Policy)
