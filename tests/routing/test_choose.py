"""The choice of a route: rules in order, targets in order, what is said of each, and what follows a time-out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.policy.facts import Facts
from app.policy.policy_view import view_of
from app.routing.choose import Account, Choice, Staff, choose, choose_next
from app.routing.ring import Member
from tests.routing.documents import routed
from tests.rules.make import NOON

ANA, BEN, CEM, DIA = (Member(UUID(int=n), team) for n, team in ((1, "dach"), (2, "dach"), (3, "alpine"), (4, None)))
ROSTER = [ANA, BEN, CEM, DIA]
TEAMS = {"dach": {}, "north": {}, "alpine": {"kind": "partner", "accept_within_minutes": 60}}
OWNER_FIRST = {"id": "owner_first", "to": [{"method": "account_owner"}]}
DACH = {
    "id": "dach",
    "if": {"field": "country", "in": ["DE", "AT", "CH"]},
    "to": [{"method": "round_robin", "team": "dach"}],
}
PARTNER = {
    "id": "partner",
    "if": {"field": "channel", "is": "partner"},
    "to": [{"method": "round_robin", "team": "alpine"}, {"method": "pool", "team": "north"}],
}


def chosen(
    facts: Facts, *rules: dict[str, Any], roster: Any = ROSTER, account: Account | None = None, **route: Any
) -> Choice:
    policy = routed({"rules": list(rules), **route}, TEAMS)
    return choose(policy.routing["sdr"], view_of(policy, facts, NOON), Staff(roster, {}, account))


@pytest.mark.parametrize(
    ("condition", "facts", "met"),
    [
        ({"field": "country", "in": ["DE", "AT"]}, Facts(fields={"country": "DE"}), True),
        ({"field": "country", "in": ["DE", "AT"]}, Facts(fields={"country": "RO"}), False),
        ({"field": "country", "in": ["DE", "AT"]}, Facts(), False),
        ({"field": "employees", "at_least": 500}, Facts(fields={"employees": 500}), True),
        ({"field": "employees", "at_least": 500}, Facts(fields={"employees": 499}), False),
        ({"field": "industry", "is": "software"}, Facts(fields={"industry": "software"}), True),
        ({"field": "channel", "is": "partner"}, Facts(fields={"channel": "partner"}), True),
        ({"field": "channel", "is": "partner"}, Facts(fields={"channel": "web_form"}), False),
        ({"field": "utm_source", "is": "google"}, Facts(first_touch={"source": "google"}), True),
        ({"field": "utm_medium", "in": ["cpc"]}, Facts(first_touch={"source": "cpc"}), False),
        ({"field": "utm_campaign", "present": True}, Facts(first_touch={"campaign": "spring"}), True),
        ({"field": "utm_campaign", "present": True}, Facts(), False),
        ({"fit": {"at_least": 40}}, Facts(fit=40), True),
        ({"fit": {"at_least": 40}}, Facts(fit=39), False),
    ],
)
def test_a_rule_is_taken_where_its_condition_holds(condition: Any, facts: Facts, met: bool) -> None:
    choice = chosen(facts, {"id": "one", "if": condition, "to": [{"method": "round_robin", "team": "dach"}]})
    assert (choice.rule, choice.owner_id) == (("one", ANA.user_id) if met else (None, None))
    assert bool(choice.considered[0].unmet) is not met


def test_the_first_rule_that_holds_decides_and_later_ones_are_not_considered() -> None:
    choice = chosen(Facts(fields={"country": "AT", "channel": "partner"}), DACH, PARTNER)
    assert (choice.rule, choice.reason, choice.team) == ("dach", "assigned", "dach")
    assert [one.rule for one in choice.considered] == ["dach"]


def test_a_rule_that_does_not_hold_says_what_is_unmet() -> None:
    choice = chosen(Facts(fields={"country": "RO"}), DACH)
    assert (choice.rule, choice.reason, choice.team) == (None, "pool", None)
    (unmet,) = choice.considered[0].unmet
    assert unmet == {"criterion": "field.country", "have": "RO", "need": ["DE", "AT", "CH"]}


ACCOUNT = Account(UUID(int=70), ANA.user_id)


@pytest.mark.parametrize(
    ("account", "roster", "outcome", "owner"),
    [
        (None, ROSTER, "no_account", None),
        (replace(ACCOUNT, owner_id=None), ROSTER, "no_owner", None),
        (replace(ACCOUNT, owner_id=UUID(int=99)), ROSTER, "other_role", None),
        (ACCOUNT, ROSTER, "assigned", ANA.user_id),
        (ACCOUNT, [replace(ANA, absent=True), BEN], "owner_absent", None),
        (ACCOUNT, [replace(ANA, capacity=2, load=2), BEN], "owner_full", None),
        (ACCOUNT, [replace(ANA, weight=0), BEN], "assigned", ANA.user_id),
        (ACCOUNT, [replace(ANA, had_it=True), BEN], "owner_had_it", None),
    ],
)
def test_the_owner_of_the_account_comes_first_if_able_to_take_a_lead(
    account: Account | None, roster: Any, outcome: str, owner: UUID | None
) -> None:
    facts = Facts(fields={"country": "DE"})
    choice = chosen(facts, OWNER_FIRST, DACH, account=account, roster=roster)
    assert choice.tried[0].outcome == outcome
    assert choice.rule == ("owner_first" if owner else "dach"), "without an account owner the next rule is tried"
    assert owner in (None, choice.owner_id)
    assert choice.owner_id is not None


@pytest.mark.parametrize(
    "roster",
    [
        [],
        [CEM, DIA],
        [replace(ANA, absent=True), replace(BEN, absent=True)],
        [replace(ANA, capacity=0), replace(BEN, weight=0)],
    ],
)
def test_where_nobody_of_a_ring_is_available_the_lead_goes_to_the_pool_of_the_team(roster: Any) -> None:
    choice = chosen(Facts(fields={"country": "DE"}), DACH, roster=roster)
    assert (choice.rule, choice.reason, choice.owner_id, choice.team) == ("dach", "nobody_available", None, "dach")


def test_a_ring_of_a_role_leaves_partners_out_and_weighs_teams() -> None:
    choice = chosen(Facts(), method="round_robin", weights={"dach": 0})
    assert choice.owner_id == DIA.user_id
    assert [(one.user_id.int, one.weight) for one in choice.tried[0].members] == [(1, 0), (2, 0), (4, 1)]


def test_a_partner_has_to_accept_in_time_and_nobody_else() -> None:
    assert chosen(Facts(fields={"channel": "partner"}), PARTNER).accept_within_minutes == 60
    assert chosen(Facts(fields={"country": "DE"}), DACH).accept_within_minutes is None
    owned = chosen(Facts(), OWNER_FIRST, account=Account(UUID(int=70), CEM.user_id))
    assert (owned.owner_id, owned.team, owned.accept_within_minutes) == (CEM.user_id, "alpine", 60)


@pytest.mark.parametrize(
    ("rule", "after", "reason", "team", "target"),
    [
        ("partner", 0, "pool", "north", 1),
        ("partner", 1, "no_target_left", None, 2),
        ("gone", 0, "no_target_left", None, 1),
        (None, 0, "no_target_left", None, 1),
    ],
)
def test_after_a_time_out_the_next_target_of_the_rule_comes_and_then_the_pool_of_the_role(
    rule: str | None, after: int, reason: str, team: str | None, target: int
) -> None:
    policy = routed({"rules": [PARTNER]}, TEAMS)
    choice = choose_next(policy, policy.routing["sdr"], rule, after, Staff(ROSTER, {}))
    assert (choice.reason, choice.owner_id, choice.team, choice.rule) == (reason, None, team, rule)
    assert choice.target == target
