"""Conditions of subscriptions, as they are judged by an event and its lead as of the event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import ids
from app.events.envelope import Sequenced
from app.policy.of_event import read_condition
from app.policy.view import ConditionBase
from app.webhooks.accepted import Selection
from app.webhooks.event_facts import decoded, holds, view_of

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEAD_ID = ids.new_id()
LEAD: dict[str, Any] = {
    "id": "lead_1",
    "kind": "person",
    "stage": "sal",
    "fields": {"email": "ana@gmail.com", "country": "RO", "employees": 120, "job_title": "Head of Sales"},
    "custom": {"How many seats?": 20, "wants": ["demo", "price"]},
    "identities": [{"kind": "email"}, {"kind": "phone"}],
    "score": {"fit": 60, "engagement": 30, "level": 3, "temperature": "hot"},
    "owner_id": "usr_1",
    "team": None,
    "bant": {
        "budget": {
            "status": "confirmed",
            "value": "yes",
            "evidence": None,
            "confirmed_role": "sdr",
            "confirmed_at": "2026-03-01T12:00:00Z",
            "amount": {"value": "9000.50", "currency": "EUR"},
        },
        "need": {"status": "unknown", "value": None, "evidence": None},
    },
    "email_status": "free",
    "phone_status": None,
    "icp_exception": {"reason": "strategic", "persona": None},
    "attribution": {"first": {"source": "newsletter"}, "last": {}},
    "consents": {"email_marketing": "given"},
    "channel": "webinar",
}
MOVED: dict[str, Any] = {
    "lead_id": "lead_1",
    "from": "mql",
    "to": "srl",
    "seq": 2,
    "reason_code": None,
    "actor": {"role": "sdr", "kind": "human"},
    "reached": [{"name": "mql", "skipped": True}, {"name": "srl", "skipped": False}],
    "changed": [],
}


def event(
    data: dict[str, Any] | None = None,
    lead: dict[str, Any] | None = LEAD,
    type: str = "lead.stage_changed",
    included: str | None = None,
) -> Sequenced:
    if included is None:
        included = orjson.dumps({"lead": lead})[1:-1].decode() if lead is not None else ""
    text = orjson.dumps(MOVED if data is None else data).decode()
    return Sequenced(1, ids.new_id(), type, text, AT, LEAD_ID, 3, LEAD_ID, ids.new_id(), 1, 1, 1, None, included)


def condition(written: dict[str, Any]) -> ConditionBase:
    found = read_condition(written)
    assert isinstance(found, ConditionBase), found
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"field": "data.to", "is": "srl"}, True),
        ({"field": "data.to", "is": "SRL "}, True),
        ({"field": "data.to", "is": "mql"}, False),
        ({"field": "data.from", "in": ["suspect", "mql"]}, True),
        ({"field": "data.seq", "at_least": 2}, True),
        ({"field": "data.seq", "at_least": 3}, False),
        ({"field": "data.seq", "is": True}, False),
        ({"field": "data.actor.role", "is": "sdr"}, True),
        ({"field": "data.actor", "present": True}, True),
        ({"field": "data.reason_code", "present": False}, True),
        ({"field": "data.nothing", "present": True}, False),
        ({"field": "data.reached.name", "is": "mql"}, True),
        ({"field": "data.reached.name", "is": "sql"}, False),
        ({"field": "data.changed", "present": True}, False),
        ({"from": "mql"}, True),
        ({"from": ["mql", None]}, True),
        ({"from": None}, False),
        ({"stage": "srl"}, True),
        ({"stage": "sal"}, False),
        ({"reason": None}, True),
        ({"reason": "timing"}, False),
        ({"actor": {"roles": ["sdr"]}}, True),
        ({"actor": {"roles": ["manager"]}}, False),
        ({"field": "country", "is": "ro"}, True),
        ({"field": "employees", "between": [120, 120]}, True),
        ({"field": "employees", "between": [121, 200]}, False),
        ({"field": "email_domain", "is": "gmail.com"}, True),
        ({"field": "free_mail", "is": True}, True),
        ({"field": "email_domain", "in_list": "free_mail"}, True),
        ({"field": "rank", "is": "head"}, True),
        ({"field": "channel", "is": "webinar"}, True),
        ({"field": "kind", "is": "organization"}, False),
        ({"field": "utm_source", "is": "newsletter"}, True),
        ({"field": "custom.How many seats?", "at_least": 20}, True),
        ({"field": "custom.wants", "is": "price"}, True),
        ({"field": "data.lead.owner_id", "is": "usr_1"}, True),
        ({"field": "data.lead.team", "present": True}, False),
        ({"field": "data.lead.score.temperature", "is": "hot"}, True),
        ({"field": "bant.budget.status", "is": "confirmed"}, True),
        ({"field": "bant.budget.amount", "at_least": 9000}, True),
        ({"field": "bant.budget.amount", "at_least": 9001}, False),
        ({"field": "bant.budget.currency", "is": "EUR"}, True),
        ({"field": "bant.need.status", "present": True}, False),
        ({"fit": {"at_least": 60}}, True),
        ({"fit": {"at_least": 61}}, False),
        ({"engagement": {"at_least": 30}}, True),
        ({"engagement": {"at_least": 31}}, False),
        ({"level": {"at_least": 3}}, True),
        ({"level": {"at_least": 4}}, False),
        ({"consent": {"purpose": "email_marketing", "state": ["given"]}}, True),
        ({"consent": {"purpose": "phone", "state": ["given"]}}, False),
        ({"consent": {"purpose": "phone", "state": ["unknown"]}}, True),
        ({"exception": True}, True),
        ({"contactable": True}, True),
        ({"identities": {"at_least": 2}}, True),
        ({"identities": {"at_least": 3}}, False),
    ],
    ids=str,
)
def test_each_word_is_judged_by_the_event_and_its_lead(written: dict[str, Any], expected: bool) -> None:
    assert holds(condition(written), event()) is expected
    assert holds(condition({"not": written}), event()) is not expected


def test_an_event_that_is_no_step_has_no_stage_that_is_left_and_the_stage_of_its_lead() -> None:
    updated = event({"lead_id": "lead_1", "changed": ["company"]}, type="lead.updated")
    assert not holds(condition({"from": ["mql", None]}), updated)
    assert not holds(condition({"reason": ["timing", None]}), updated)
    assert not holds(condition({"actor": {"roles": ["sdr", "manager", "ae", "marketing"]}}), updated)
    assert holds(condition({"stage": "sal"}), updated)
    assert holds(condition({"field": "data.changed", "is": "company"}), updated)


def test_what_an_event_without_a_lead_lacks_is_false_and_never_an_error() -> None:
    activated = event({"policy_id": "pol_1", "policy_version": 3}, lead=None, type="policy.activated")
    for written in (
        {"field": "country", "is": "RO"},
        {"contactable": True},
        {"fit": {"at_least": 1}},
        {"stage": "sal"},
    ):
        assert not holds(condition(written), activated)
    assert holds(condition({"field": "data.policy_version", "is": 3}), activated)


ANYTHING: list[dict[str, Any]] = [
    {"field": "country", "present": False},
    {"not": {"field": "data.to", "is": "x"}},
    {"field": "data.erased", "is": True},
]


@pytest.mark.parametrize("written", ANYTHING, ids=str)
def test_of_an_erased_lead_only_its_erasure_is_sent(written: dict[str, Any]) -> None:
    tombstone = event({"lead_id": "lead_1", "to": "srl", "erased": True}, lead=None)
    soon = event(included='"lead":null,"erased":true')
    came_again = event({"lead_id": "lead_1", "source": {}}, lead=None, type="lead.suppressed")
    assert not any(holds(condition(written), one) for one in (tombstone, soon, came_again))
    assert holds(condition(written), event({"lead_id": "lead_1"}, lead=None, type="lead.erased"))


def test_an_event_is_decoded_once_and_a_condition_read_once_for_all_subscriptions() -> None:
    columns = {"types": ["*"], "filter": {"to": ["srl"]}, "condition": {"field": "data.lead.owner_id", "is": "usr_1"}}
    selections = [Selection.of({**columns, "include": [], "mode": "full"}) for _ in range(3)]
    assert selections[0].condition is selections[1].condition is selections[2].condition
    decoded.cache_clear()
    view_of.cache_clear()
    fresh = event({**MOVED, "seq": 71})
    assert [one.accepts(fresh) for one in selections] == [True] * 3
    assert (decoded.cache_info().misses, view_of.cache_info().misses) == (1, 1)


# --- a second reading of conditions, written for these tests alone

FIELDS = {
    "data.to": MOVED["to"],
    "data.seq": MOVED["seq"],
    "data.actor.role": "sdr",
    "data.nothing": None,
    "country": "RO",
    "employees": 120,
    "data.lead.owner_id": "usr_1",
}


def plainly(written: Any) -> bool:
    match written:
        case {"all": members}:
            return all(map(plainly, members))
        case {"any": members}:
            return any(map(plainly, members))
        case {"not": member}:
            return not plainly(member)
        case {"when": when, "then": then}:
            return not plainly(when) or plainly(then)
        case {"at_least": {"count": count, "of": members}}:
            return sum(plainly(one) for one in members) >= count
        case {"field": name, "present": flag}:
            return (FIELDS[name] is not None) is flag
        case {"field": name, "is": value}:
            return FIELDS[name] is not None and FIELDS[name] == value
        case {"field": name, "in": values}:
            return FIELDS[name] is not None and FIELDS[name] in values
        case {"field": name, "at_least": number}:
            return isinstance(FIELDS[name], int) and FIELDS[name] >= number
        case {"field": name, "at_most": number}:
            return isinstance(FIELDS[name], int) and FIELDS[name] <= number
        case {"fit": {"at_least": number}}:
            return number <= 60
        case {"level": {"at_least": number}}:
            return number <= 3
        case {"stage": stage}:
            return bool(stage == "srl")
        case {"from": stage}:
            return bool(stage == "mql")
    raise AssertionError(written)


NAMES = st.sampled_from([*FIELDS])
VALUES = st.sampled_from(["srl", "mql", "sdr", "RO", "usr_1", 2, 3, 120])
NUMBERS = st.sampled_from([1, 2, 3, 59, 60, 61, 119, 120, 121])
WORDS = st.one_of(
    st.builds(lambda name, flag: {"field": name, "present": flag}, NAMES, st.booleans()),
    st.builds(lambda name, value: {"field": name, "is": value}, NAMES, VALUES),
    st.builds(lambda name, values: {"field": name, "in": values}, NAMES, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda name, number: {"field": name, "at_least": number}, NAMES, NUMBERS),
    st.builds(lambda name, number: {"field": name, "at_most": number}, NAMES, NUMBERS),
    st.builds(lambda word, number: {word: {"at_least": number}}, st.sampled_from(["fit", "level"]), NUMBERS),
    st.builds(lambda word, stage: {word: stage}, st.sampled_from(["from", "stage"]), st.sampled_from(["mql", "srl"])),
)
CONDITIONS = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.builds(
            lambda word, of: {word: of}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)
        ),
        st.builds(lambda member: {"not": member}, inner),
        st.builds(lambda when, then: {"when": when, "then": then}, inner, inner),
        st.builds(
            lambda count, of: {"at_least": {"count": min(count, len(of)), "of": of}},
            st.integers(1, 3),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=12,
)


@given(CONDITIONS)
def test_a_condition_as_it_was_read_holds_where_a_plain_reading_of_its_text_does(written: dict[str, Any]) -> None:
    assert holds(condition(written), event()) is plainly(written)


@given(CONDITIONS, st.booleans(), st.booleans())
def test_a_selection_accepts_the_same_events_whatever_else_was_read_with_them(
    written: dict[str, Any], thin: bool, include: bool
) -> None:
    columns = {"types": ["lead.*"], "filter": {}, "condition": written, "include": ["lead"] * include}
    selection = Selection.of({**columns, "mode": "thin" if thin else "full"})
    assert selection.accepts(event()) is plainly(written)
    assert selection.may_accept(event()) or not selection.accepts(event())
    if not selection.reads_lead:
        assert selection.accepts(event(lead=None)) is plainly(written)
