"""What a move into the first milestone keeps of the lead: what counted then, and who it was, without naming it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.lifecycle.profile import profile
from app.policy.facts import Facts, IcpException
from app.scoring.score import score
from tests.rules.make import NOON, PIPELINE, activity

KNOWN = {"seniority": "director", "employees": 120, "industry": "software", "country": "RO", "email": "a@nordsoft.ro"}


def seen(facts: Facts) -> dict[str, object]:
    return profile(PIPELINE, facts, score(PIPELINE, facts, NOON).entries, NOON)


def test_rules_that_count_personas_and_traits_are_kept_and_nothing_that_names_the_person() -> None:
    activities = (activity("webinar", 45), activity("price_list", 0), activity("price_list", 1))
    facts = Facts(fields=KNOWN, first_touch={"source": " google "}, activities=activities)
    assert seen(facts) == {
        "rules": ["title", "size", "industry", "webinar", "price_list"],
        "personas": ["decision_maker"],
        "seniority": "director",
        "industry": "software",
        "country": "RO",
        "size": "50-199",
        "source": "google",
        "activities": ["price_list", "webinar"],
    }


def test_a_rule_counts_while_it_gives_or_takes_points() -> None:
    """Not after its points have decayed, nor for interest before the baseline or after the move."""
    facts = Facts(
        fields={**KNOWN, "email_domain": "gmail.com", "free_mail": True},
        baseline_at=NOON - timedelta(days=20),
        activities=(activity("webinar", 61), activity("case_study", 21), activity("unsubscribe", 3)),
    )
    assert seen(facts)["rules"] == ["title", "size", "industry", "free_mail", "unsubscribe"]
    assert seen(Facts(fields=KNOWN, activities=(activity("webinar", -1),)))["activities"] == []


def test_a_lead_that_counts_as_a_persona_by_an_exception_has_it() -> None:
    facts = Facts(fields={"employees": 4}, exception=IcpException("a friend", "decision_maker"))
    assert seen(facts)["personas"] == ["decision_maker"]


@pytest.mark.parametrize("value", [None, "", "  ", 7, ["a"]])
def test_a_text_that_is_none_is_not_known(value: object) -> None:
    facts = Facts(fields={"country": value, "industry": value, "seniority": value}, first_touch={"source": value})
    assert [seen(facts)[name] for name in ("country", "industry", "seniority", "source")] == [None] * 4


def test_a_long_text_is_cut() -> None:
    assert seen(Facts(first_touch={"source": "x" * 500}))["source"] == "x" * 100


@pytest.mark.parametrize(
    ("employees", "size"),
    [(None, None), (0, "1-9"), (9, "1-9"), (10, "10-49"), (199, "50-199"), (200, "200-999"), (1000, "1000+")],
)
def test_the_size_of_a_company_is_one_of_few_bands(employees: int | None, size: str | None) -> None:
    assert seen(Facts(fields={"employees": employees}))["size"] == size
