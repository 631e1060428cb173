"""The condition words about a person: consent, persona and exception; and the checks of personas."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lifecycle.automatic import evaluate
from app.policy.facts import Facts, IcpException
from app.policy.person_words import ConsentState
from app.policy.read import read_document
from app.scoring.personas import persona_matches
from app.scoring.score import score
from tests.rules.make import NOON, PERSONA, PIPELINE, POLICIES, activity, altered, document, unmet
from tests.rules.strategies import facts_of

STATES = get_args(ConsentState)


@pytest.mark.parametrize("have", [*STATES, None])
@given(wanted=st.lists(st.sampled_from(STATES), min_size=1, max_size=5, unique=True))
def test_a_consent_is_in_one_of_the_states_and_unknown_where_nothing_was_said(
    have: str | None, wanted: list[str]
) -> None:
    facts = Facts(consents={} if have is None else {"email_marketing": have, "phone": "given"})
    known = have or "unknown"
    leaf = {"criterion": "consent", "have": known, "need": wanted, "purpose": "email_marketing"}
    condition = {"consent": {"purpose": "email_marketing", "state": wanted}}
    assert unmet(condition, facts) == ([] if known in wanted else [leaf])


def two_personas(changed: dict[str, Any]) -> None:
    changed["personas"] = [
        {
            "name": "boss",
            "title": "A boss",
            "if": {"all": [{"field": "seniority", "is": "c_level"}, {"condition": "big"}]},
        },
        {"name": "buyer", "title": "A buyer", "if": {"field": "role", "is": "procurement"}},
    ]
    changed["conditions"]["big"] = {"field": "employees", "at_least": 50}


TWO = altered(PIPELINE, two_personas)
BOSS = {"seniority": "c_level", "employees": 50}


@pytest.mark.parametrize(
    ("fields", "wanted", "have", "missing"),
    [
        (BOSS, ["boss"], None, None),
        (BOSS, ["buyer", "boss"], None, None),
        (BOSS, ["buyer"], ["boss"], ["field.role"]),
        ({"seniority": "c_level"}, ["boss", "buyer"], [], ["field.employees"]),
        ({}, ["boss"], [], ["field.seniority", "field.employees"]),
        ({}, ["boss", "buyer"], [], ["field.role"]),
    ],
)
def test_a_persona_condition_holds_for_one_of_its_names_and_says_what_the_nearest_lacks(
    fields: dict[str, object], wanted: list[str], have: list[str] | None, missing: list[str] | None
) -> None:
    answer = unmet({"persona": wanted}, Facts(fields=fields), TWO)
    if have is None:
        assert answer == []
        return
    (leaf,) = answer
    assert (leaf["criterion"], leaf["have"], leaf["need"]) == ("persona", have, wanted)
    assert [one["criterion"] for one in leaf["missing"]] == missing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("exception", "matching"),
    [(None, []), (IcpException("why"), ["boss", "buyer"]), (IcpException("why", "buyer"), ["buyer"])],
)
def test_by_an_exception_a_lead_counts_as_one_persona_or_as_every_one(
    exception: IcpException | None, matching: list[str]
) -> None:
    facts = Facts(exception=exception)
    shown = persona_matches(TWO, facts, NOON)
    assert [one.name for one in shown if one.matches] == [one.name for one in shown if one.by_exception] == matching
    assert [name for name in ("boss", "buyer") if unmet({"persona": [name]}, facts, TWO) == []] == matching
    assert (unmet({"exception": True}, facts) == []) is (exception is not None)
    assert (unmet({"exception": False}, facts) == []) is (exception is None)


@given(facts_of(), st.sampled_from([None, IcpException("why"), IcpException("why", "buyer")]))
def test_a_persona_is_shown_as_matching_exactly_where_its_condition_holds(
    facts: Facts, exception: IcpException | None
) -> None:
    facts = Facts(fields={**facts.fields, "role": "procurement"}, exception=exception)
    for shown in persona_matches(TWO, facts, NOON):
        assert shown.matches is (unmet({"persona": [shown.name]}, facts, TWO) == [])
        assert shown.by_exception is (shown.matches and bool(shown.unmet))


def test_an_exception_stands_for_size_and_industry_and_not_for_the_title_nor_against_a_competitor() -> None:
    rivals = {
        name: altered(policy, lambda changed: changed.update(lists={"competitors": ["rival.com"]}))
        for name, policy in POLICIES.items()
    }
    seen = (activity("demo_request"),)
    small = {**PERSONA, "employees": 3, "industry": "mining"}
    for policy in rivals.values():
        for fields, fit, stage in (
            (small, 50, "mql"),
            ({**small, "seniority": "individual"}, 30, "inquiry"),
            ({**small, "email_domain": "rival.com"}, -50, "inquiry"),
            ({**small, "email_domain": "gmail.com", "free_mail": True, "domain": "rival.com"}, -65, "inquiry"),
        ):
            facts = Facts(fields=fields, stage="inquiry", activities=seen, exception=IcpException("a partner"))
            answer = evaluate(policy, facts, NOON)
            assert (answer.score.fit, answer.facts.stage) == (fit, stage), fields


def test_a_window_inside_a_persona_says_when_to_evaluate_again() -> None:
    def change(changed: dict[str, Any]) -> None:
        recent = {"activity": {"types": ["other"], "within_days": 7}}
        changed["personas"] = [{"name": "active", "title": "Active", "if": recent}]
        changed["scoring"]["fit"].append({"id": "active", "points": 5, "if": {"persona": ["active"]}})

    facts = Facts(stage="inquiry", activities=(activity("other", 1),))
    known = score(altered(PIPELINE, change), facts, NOON)
    assert (known.fit, known.evaluate_at) == (5, NOON + timedelta(days=6, microseconds=1))


def with_personas(*conditions: Any, **named: Any) -> list[tuple[str, str]]:
    """The faults of a policy with personas p0, p1 … of these conditions and with these named conditions."""
    changed = document(PIPELINE)
    changed["personas"] = [{"name": f"p{n}", "title": "P", "if": one} for n, one in enumerate(conditions)]
    changed["conditions"] |= named
    read = read_document(changed)
    return [(fault.code, fault.place) for fault in read] if isinstance(read, list) else []


def nested(depth: int) -> Any:
    return {"not": nested(depth - 1)} if depth else {"exception": True}


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (with_personas({"field": "role", "is": "it"}, {"persona": ["p0"]}), []),
        (with_personas({"persona": ["p0"]}), [("condition_circle", "/personas/0")]),
        (
            with_personas({"condition": "c"}, c={"persona": ["p0"]}),
            [("condition_circle", "/conditions/c"), ("condition_circle", "/personas/0")],
        ),
        (with_personas({"persona": ["p9"]}), [("unknown_persona", "/personas/0/if/persona")]),
        (with_personas({"fit": {"at_least": 1}}), [("not_here", "/personas/0/if")]),
        (with_personas({"level": {"at_least": 1}}), [("not_here", "/personas/0/if")]),
        (with_personas({"actor": {"roles": ["sdr"]}}), [("not_here", "/personas/0/if")]),
        (with_personas({"condition": "c"}, c={"reason": ["timing"]}), [("not_here", "/personas/0/if")]),
        (with_personas({"persona": []}), [("invalid", "/personas/0/if/persona")]),
        (
            with_personas({"consent": {"purpose": "E-Mail", "state": ["given"]}}),
            [("invalid", "/personas/0/if/consent/purpose")],
        ),
        (
            with_personas({"consent": {"purpose": "phone", "state": ["yes"]}}),
            [("invalid", "/personas/0/if/consent/state/0")],
        ),
        (with_personas({"exception": "yes"}), [("invalid", "/personas/0/if/exception")]),
        (with_personas(nested(7)), []),
        (
            with_personas(nested(8)),
            [("too_deep", "/personas/0/if/not/not/not/not/not/not/not/not"), ("too_deep", "/personas/0/if")],
        ),
        (with_personas({"all": [{"exception": True}] * 99}, {"all": [{"exception": True}] * 99}), []),
        (with_personas({"all": [{"exception": True}] * 99}, {"persona": ["p0"]}), [("too_many_nodes", "/personas")]),
    ],
)
def test_the_personas_of_a_document_are_checked(found: list[tuple[str, str]], faults: list[tuple[str, str]]) -> None:
    assert found == faults


def test_the_names_of_personas_are_unique_and_a_document_without_personas_is_valid() -> None:
    changed = document(PIPELINE)
    changed["personas"] *= 2
    read = read_document(changed)
    assert isinstance(read, list)
    assert [(fault.code, fault.place) for fault in read] == [("duplicate_name", "/personas/1")]
    del changed["personas"]
    assert not isinstance(read_document(changed), list)
