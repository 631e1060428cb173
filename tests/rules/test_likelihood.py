"""Traits of a lead, models learned of cases, how models are measured, and the condition word `likelihood`."""

from __future__ import annotations

import json
import math
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lifecycle.answer import Move
from app.lifecycle.decide import decide
from app.policy.facts import Ask, Facts
from app.policy.likelihood import AtLeastProbability, Likelihood, traits
from app.policy.model import NONE, OTHER, Model, sigmoid
from app.policy.policy_view import view_of
from app.scoring.training import KINDS, Case, auc, brier, calibration, train
from tests.rules.make import MARKETING, NOON, SDR, WATERFALL, activity, altered

DAY = timedelta(days=1)


def case(number: int, good: bool, points: int = 0, **known: str) -> Case:
    return Case(UUID(int=number), NOON + number * timedelta(hours=1), known, good, points)


def people(count: int, seed: int = 1) -> list[Case]:
    """Directors become customers in 4 of 5 cases, others in 1 of 5; the industry says nothing."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        director = chance.random() < 0.5
        good = chance.random() < (0.8 if director else 0.2)
        industry = chance.choice(["software", "retail"])
        found.append(case(number, good, seniority="director" if director else "individual", industry=industry))
    return found


@pytest.mark.parametrize(
    ("fields", "trait", "value"),
    [
        ({}, "seniority", NONE),
        ({"seniority": "Director"}, "seniority", "director"),
        ({"industry": "  Soft\tware "}, "industry", "soft ware"),
        ({"industry": "x" * 100}, "industry", "x" * 60),
        ({}, "company_size", NONE),
        ({"employees": 1}, "company_size", "1-9"),
        ({"employees": 9}, "company_size", "1-9"),
        ({"employees": 10}, "company_size", "10-49"),
        ({"employees": 49}, "company_size", "10-49"),
        ({"employees": 50}, "company_size", "50-199"),
        ({"employees": 199}, "company_size", "50-199"),
        ({"employees": 200}, "company_size", "200-999"),
        ({"employees": 999}, "company_size", "200-999"),
        ({"employees": 1000}, "company_size", "1000+"),
        ({}, "email", NONE),
        ({"email": "a@b.example"}, "email", "company"),
        ({"email": "a@gmail.com", "free_mail": True}, "email", "free mail"),
    ],
)
def test_a_field_is_a_trait_with_few_values(fields: dict[str, object], trait: str, value: str) -> None:
    assert traits(Facts(fields=fields), NOON)[trait] == value


@pytest.mark.parametrize(
    ("age", "last", "recent"),
    [
        (timedelta(0), "1 day", "30 days"),
        (DAY, "1 day", "30 days"),
        (DAY + timedelta(microseconds=1), "7 days", "30 days"),
        (7 * DAY, "7 days", "30 days"),
        (8 * DAY, "30 days", "30 days"),
        (30 * DAY, "30 days", "30 days"),
        (30 * DAY + timedelta(microseconds=1), "90 days", "before"),
        (90 * DAY, "90 days", "before"),
        (91 * DAY, "longer ago", "before"),
    ],
)
def test_interest_is_a_trait_by_its_age(age: timedelta, last: str, recent: str) -> None:
    one = activity("webinar", 0)
    found = traits(Facts(activities=(one,)), one.occurred_at + age)
    assert (found["last_activity"], found["activity.webinar"], found["activities"]) == (last, recent, "1")


@pytest.mark.parametrize(("count", "band"), [(0, "0"), (1, "1"), (2, "2"), (3, "3-5"), (5, "3-5"), (6, "6+")])
def test_how_many_activities_is_a_trait(count: int, band: str) -> None:
    facts = Facts(activities=tuple(activity("webinar", number) for number in range(count)))
    assert traits(facts, NOON)["activities"] == band


def test_what_comes_later_and_contact_attempts_are_no_traits() -> None:
    facts = Facts(activities=(activity("webinar", -1), activity("call", 1, kind="contact_attempt")))
    assert traits(facts, NOON)["activities"] == "0"
    assert traits(facts, NOON)["last_activity"] == NONE


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_made_customers_before_raises_the_probability(kind: str) -> None:
    model = KINDS[kind](people(600))
    director, other = ({"seniority": value, "industry": "retail"} for value in ("director", "individual"))
    assert model.probability(director) == pytest.approx(0.8, abs=0.06)
    assert model.probability(other) == pytest.approx(0.2, abs=0.06)
    assert abs(model.weights["industry"]["retail"] - model.weights["industry"]["software"]) < 0.4


@pytest.mark.parametrize("kind", list(KINDS))
def test_weights_are_relative_to_the_average_case(kind: str) -> None:
    cases = people(300)
    model = KINDS[kind](cases)
    for trait, weights in model.weights.items():
        assert sum(weights[one.traits[trait]] for one in cases) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", list(KINDS))
def test_rare_values_and_traits_that_never_differ_have_no_weight_of_their_own(kind: str) -> None:
    cases = [*people(100), *(case(200 + n, True, seniority="founder", industry="retail") for n in range(4))]
    model = KINDS[kind]([Case(one.id, one.at, {**one.traits, "kind": "person"}, one.good, 0) for one in cases])
    assert "founder" not in model.weights["seniority"]
    assert "kind" not in model.weights
    assert model.parts({"seniority": "founder"})[1][2] == model.weights["seniority"][OTHER]
    with_five = [*cases, case(300, True, seniority="founder", industry="retail")]
    assert "founder" in KINDS[kind](with_five).weights["seniority"]


@given(st.permutations(people(90)))
def test_the_order_of_the_cases_changes_no_byte(cases: list[Case]) -> None:
    assert json.dumps(train(cases)) == json.dumps(train(people(90)))


def test_the_kind_with_the_smaller_error_on_the_later_cases_is_taken_and_measured() -> None:
    document = train(people(400))
    held_back = document["held_back"]
    assert document["kind"] == min(held_back["tried"], key=held_back["tried"].get)
    assert held_back["brier"] == held_back["tried"][document["kind"]]
    assert held_back["cases"]["good"] + held_back["cases"]["bad"] == 100
    assert held_back["auc"] > 0.7
    assert held_back["points_auc"] == 0.5
    assert held_back["beats_points"] is True
    assert sum(one["cases"] for one in held_back["calibration"]) == 100
    assert document["cases"]["good"] + document["cases"]["bad"] == 400


def test_a_model_that_does_not_beat_the_points_says_so() -> None:
    cases = [Case(one.id, one.at, {"industry": one.traits["industry"]}, one.good, int(one.good)) for one in people(400)]
    assert train(cases)["held_back"]["beats_points"] is False


@pytest.mark.parametrize("late_good", [4, 5])
def test_nothing_is_measured_on_fewer_than_five_later_cases_of_a_kind(late_good: int) -> None:
    earlier = people(150)
    later = [case(1000 + n, n < late_good, seniority="director", industry="retail") for n in range(50)]
    assert (train([*earlier, *later])["held_back"] is None) == (late_good < 5)


@pytest.mark.parametrize(
    ("scores", "good", "expected"),
    [
        ([1, 2, 3, 4], [False, False, True, True], 1.0),
        ([4, 3, 2, 1], [False, False, True, True], 0.0),
        ([1, 1, 1, 1], [False, True, False, True], 0.5),
        ([1, 2, 2, 3], [False, False, True, True], 0.875),
    ],
)
def test_auc(scores: list[float], good: list[bool], expected: float) -> None:
    assert auc(scores, good) == expected


def test_brier_and_calibration() -> None:
    predicted, good = [0.1, 0.2, 0.6, 0.8, 0.9], [False, False, True, True, True]
    assert brier(predicted, good) == pytest.approx((0.01 + 0.04 + 0.16 + 0.04 + 0.01) / 5)
    assert [one["observed"] for one in calibration(predicted, good)] == [0, 0, 1, 1, 1]
    assert [one["predicted"] for one in calibration(predicted, good)] == predicted


@given(st.floats(-800, 800))
def test_a_probability_is_between_none_and_one_for_any_log_odds(log_odds: float) -> None:
    assert 0 <= sigmoid(log_odds) <= 1
    assert sigmoid(log_odds) + sigmoid(-log_odds) == pytest.approx(1)


MODEL = Model(3, 0.5, 0.0, {"last_activity": {"1 day": 1.0, OTHER: -1.0}})
CONDITION = Likelihood(likelihood=AtLeastProbability(at_least=0.5))


@pytest.mark.parametrize(("bias", "holds"), [(-1.001, False), (-1.0, True), (0.0, True)])
def test_the_condition_holds_from_its_probability_on(bias: float, *, holds: bool) -> None:
    facts = Facts(model=Model(3, 0.5, bias, MODEL.weights), activities=(activity("webinar", 0),))
    assert CONDITION.holds(view_of(WATERFALL, facts, NOON)) is holds


@pytest.mark.parametrize(
    ("probability", "holds"), [(0.29994, False), (0.29996, True), (0.3, True), (0.30004, True), (0.30006, True)]
)
def test_the_condition_compares_the_number_that_is_shown(probability: float, *, holds: bool) -> None:
    bias = math.log(probability / (1 - probability))
    view = view_of(WATERFALL, Facts(model=Model(3, 0.5, bias, {})), NOON)
    condition = Likelihood(likelihood=AtLeastProbability(at_least=0.3))
    assert condition.holds(view) is holds
    told = [] if holds else [{"criterion": "likelihood", "have": 0.2999, "need": 0.3}]
    assert condition.unmet(view) == told


@pytest.mark.parametrize("place", ["guard", "named", "not"])
@pytest.mark.parametrize("model", [None, Model(3, 0.5, -1.0, {})])
def test_a_move_keeps_the_likelihood_that_its_guard_asked_for(place: str, model: Model | None) -> None:
    asked = {"likelihood": {"at_least": 0.5}}
    guards = {
        "guard": {"any": [asked, {"identities": {"at_least": 1}}]},
        "named": {"condition": "mql"},
        "not": {"not": asked},
    }

    def change(changed: dict[str, Any]) -> None:
        changed["conditions"]["mql"] = {"not": asked}
        next(one for one in changed["actions"] if one["name"] == "qualify")["guard"] = guards[place]

    policy = altered(WATERFALL, change)
    moved = decide(policy, Facts(identities=1, stage="inquiry", model=model), Ask("qualify", MARKETING), NOON)
    assert isinstance(moved, Move)
    shown = None if model is None else 0.2689
    assert moved.evidence == {"likelihood": {"probability": shown, "model": model and model.version}}
    reopened = decide(policy, Facts(identities=1, stage="mql", model=model), Ask("accept", SDR), NOON)
    assert isinstance(reopened, Move)
    assert "likelihood" not in reopened.evidence, "its guard does not ask for it"


def test_the_condition_is_one_that_time_may_change() -> None:
    assert CONDITION.timed


def test_what_is_missing_is_told_in_probabilities() -> None:
    facts = Facts(model=MODEL)
    assert CONDITION.unmet(view_of(WATERFALL, facts, NOON)) == [
        {"criterion": "likelihood", "have": 0.2689, "need": 0.5}
    ]
    assert CONDITION.unmet(view_of(WATERFALL, Facts(), NOON)) == [
        {"criterion": "likelihood", "have": None, "need": 0.5}
    ]


def test_the_condition_names_the_instants_at_which_age_alone_changes_it() -> None:
    seen = activity("webinar", 0)
    facts = Facts(model=MODEL, activities=(seen,))
    changes = list(CONDITION.changes(view_of(WATERFALL, facts, NOON)))
    before = traits(facts, changes[0] - timedelta(microseconds=1))["last_activity"]
    assert (before, traits(facts, changes[0])["last_activity"]) == ("1 day", "7 days")
    assert changes == [seen.occurred_at + timedelta(days=days, microseconds=1) for days in (1, 7, 30, 90)]
    assert list(CONDITION.changes(view_of(WATERFALL, Facts(activities=(seen,)), NOON))) == []
