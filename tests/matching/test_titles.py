"""A hundred real titles in five languages (titles.yaml): their rank, and whether the shipped policies count them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.journeys.state import Change, Lead
from app.matching.normalize import normalize
from app.matching.title import RANKS, rank_of, seniority_of
from app.policies.published import Published
from app.policy.attributes import FIELDS
from app.policy.document import Policy
from app.scoring.score import score
from tests.rules.make import NOON, POLICIES, uuid

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("titles.yaml").read_text("utf-8"))
ROWS = [(language, row) for language, rows in TABLE.items() for row in rows]
COUNTED = [row["title"] for _, row in ROWS if row["counts"]]


def title_points(policy: Policy, title: str) -> int:
    """The points of the rule `title` for a lead with this title alone, normalised as a form fill is."""
    lead = Lead(uuid("lead"), NOON, NOON, fields=dict(normalize({"job_title": title}, {}, None).fields))
    published = Published(uuid("policy"), 1, NOON, policy)
    known = score(policy, Change(lead, published, None, NOON).facts(), NOON)
    return sum(entry.points for entry in known.entries if entry.rule_id == "title")


def test_the_table_has_a_hundred_titles_in_five_languages_and_of_both_kinds() -> None:
    assert set(TABLE) == {"en", "de", "ro", "pl", "ru"}
    assert len(ROWS) >= 100
    assert all({row["counts"] for row in rows} == {True, False} for rows in TABLE.values())


@pytest.mark.parametrize(("language", "row"), ROWS, ids=lambda one: one if isinstance(one, str) else one["title"])
def test_a_title_is_judged_by_its_rank_in_any_language(language: str, row: dict[str, Any]) -> None:
    assert seniority_of(row["title"]) == row["seniority"]
    for policy in POLICIES.values():
        assert title_points(policy, row["title"]) == (20 if row["counts"] else 0)


def test_the_ranks_are_those_that_the_catalogue_of_conditions_lists() -> None:
    assert FIELDS["rank"].values == RANKS


@given(
    st.sampled_from(COUNTED),
    st.sampled_from(
        (
            "Assistant to the {}",
            "{}'s secretary",
            "PA to the {}",
            "Office of the {}",
            "Former {}",
            "Assistenz {}",
            "Sekretärin {}",
            "Asistent {}",
            "Secretară {}",
            "Asystentka {}",
            "Sekretarka {}",
            "Помощник {}",
            "Секретарь {}",
            "Student {}",
            "Praktikant {}",
            "Stagiar {}",
            "Stażysta {}",
            "Стажёр {}",
        )
    ),
    st.sampled_from((str, str.upper, str.lower)),
)
def test_who_works_for_somebody_who_decides_does_not_decide(title: str, frame: str, case: Any) -> None:
    whole = case(frame.format(title))
    assert seniority_of(whole) == rank_of(whole, None) == "individual"


@given(
    st.sampled_from(ROWS), st.sampled_from((str.upper, str.lower, lambda text: f"  {text} ", lambda text: f"{text}."))
)
def test_case_and_punctuation_around_a_title_change_nothing(named: tuple[str, dict[str, Any]], written: Any) -> None:
    title = named[1]["title"]
    assert seniority_of(written(title)) == seniority_of(title)
    assert rank_of(written(title), None) == rank_of(title, None)


@pytest.mark.parametrize(
    ("fields", "points"),
    [
        ({"job_title": "Head of Sales", "seniority": "individual"}, 0),
        ({"job_title": "Wizard", "seniority": "Director"}, 20),
        ({"job_title": "Wizard", "seniority": "head"}, 20),
        ({"seniority": "manager"}, 0),
        ({"seniority": "C-Level"}, 20),
        ({"job_title": "Head of Sales", "seniority": "Manager"}, 20),
        ({"job_title": "CFO", "seniority": "Leitungsebene"}, 20),
        ({"job_title": "Clerk", "seniority": "Leitungsebene"}, 0),
    ],
)
def test_a_seniority_that_somebody_set_counts_before_the_title(fields: dict[str, str], points: int) -> None:
    for policy in POLICIES.values():
        lead = Lead(uuid("lead"), NOON, NOON, fields=dict(normalize(fields, {}, None).fields))
        known = score(policy, Change(lead, Published(uuid("policy"), 1, NOON, policy), None, NOON).facts(), NOON)
        assert sum(entry.points for entry in known.entries if entry.rule_id == "title") == points
