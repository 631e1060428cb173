"""Faults of routes and teams in a policy document, each with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.policy.check import faults
from app.policy.document import Policy
from app.policy.read import read_document
from app.policy.shipped import NAMES, shipped
from tests.routing.documents import routed, routed_document

RING = {"method": "round_robin"}
TEAMS = {"dach": {}, "alpine": {"kind": "partner", "accept_within_minutes": 60}}
TAKES_ALL = {"id": "all", "to": [RING]}
GERMAN = {"field": "country", "is": "DE"}


def found(policy: Policy) -> list[tuple[str, str, str]]:
    return [(one.place.removeprefix("/routing/sdr/"), one.code, one.kind) for one in faults(policy)]


@pytest.mark.parametrize(
    ("route", "teams", "place", "code", "kind"),
    [
        ({"role": "marketing", "method": "round_robin"}, {}, "role", "cannot_own", "fault"),
        ({"role": "admin", "rules": [TAKES_ALL]}, {}, "role", "cannot_own", "fault"),
        ({"rules": [{"id": "none"}]}, {}, "rules/0/to", "target_missing", "fault"),
        ({"rules": [{"id": "none", "to": []}]}, {}, "rules/0/to", "target_missing", "fault"),
        ({"rules": [{**TAKES_ALL, "if": GERMAN}, TAKES_ALL]}, {}, "rules/1/id", "duplicate_name", "fault"),
        ({"rules": [TAKES_ALL, {"id": "late", "to": [RING]}]}, {}, "rules/1", "never_reached", "warning"),
        (
            {"rules": [{"id": "a", "if": GERMAN, "to": [{"method": "pool"}, RING]}]},
            {},
            "rules/0/to/1",
            "never_reached",
            "warning",
        ),
        ({"team": "dahc"}, TEAMS, "team", "unknown_team", "fault"),
        (
            {"rules": [{"id": "a", "to": [{**RING, "team": "dahc"}]}]},
            TEAMS,
            "rules/0/to/0/team",
            "unknown_team",
            "fault",
        ),
        ({**RING, "weights": {"dahc": 2}}, TEAMS, "weights/dahc", "unknown_team", "fault"),
        ({**RING, "weights": {"alpine": 2}}, TEAMS, "weights/alpine", "not_here", "fault"),
        ({**RING, "weights": {"dach": 0}}, TEAMS, "weights", "no_weight", "warning"),
        ({**RING, "team": "dach", "weights": {"dach": 2}}, TEAMS, "weights", "not_here", "fault"),
        ({"weights": {"dach": 2}}, TEAMS, "weights", "not_here", "fault"),
        (
            {"rules": [{"id": "a", "to": [{"method": "account_owner", "team": "dach"}]}]},
            TEAMS,
            "rules/0/to/0/team",
            "not_here",
            "fault",
        ),
        ({}, {"a": {"kind": "partner"}}, "/teams/a/accept_within_minutes", "acceptance_missing", "fault"),
        ({}, {"a": {"accept_within_minutes": 5}}, "/teams/a/accept_within_minutes", "not_a_partner", "fault"),
        (
            {"rules": [{**TAKES_ALL, "if": {"field": "land", "is": "DE"}}]},
            {},
            "rules/0/if/field",
            "unknown_field",
            "fault",
        ),
        ({"rules": [{**TAKES_ALL, "if": {"owner": ["actor"]}}]}, {}, "rules/0/if", "not_here", "fault"),
        ({"rules": [{**TAKES_ALL, "if": {"from": "mql"}}]}, {}, "rules/0/if", "not_here", "fault"),
        ({"rules": [{**TAKES_ALL, "if": {"condition": "nix"}}]}, {}, "rules/0/if", "unknown_condition", "fault"),
    ],
)
def test_each_fault_of_a_route_has_its_place(route: Any, teams: Any, place: str, code: str, kind: str) -> None:
    assert found(routed(route, teams)) == [(place, code, kind)]


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ({"method": "round_robin", "weights": {"dach": -1}}, "weights/dach"),
        ({"method": "round_robin", "weights": {"dach": 101}}, "weights/dach"),
        ({"method": "round_robin", "weights": {"dach": 1.5}}, "weights/dach"),
        ({"method": "lottery"}, "method"),
        ({"method": "round_robin", "user": "usr_1"}, "user"),
        ({}, "method"),
    ],
)
def test_a_target_that_cannot_be_read_is_refused_with_its_place(target: dict[str, Any], place: str) -> None:
    refused = read_document(routed_document({"rules": [{"id": "a", "to": [target]}]}))
    assert isinstance(refused, list)
    assert [one.place for one in refused] == [f"/routing/sdr/rules/0/to/0/{place}"]


def test_an_unknown_role_is_refused_with_its_place() -> None:
    refused = read_document(routed_document({"role": "hunter"}))
    assert isinstance(refused, list)
    assert [one.place for one in refused] == ["/routing/sdr/role"]


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_policies_route_to_pools_and_have_no_fault(name: str) -> None:
    policy = shipped(name)
    assert faults(policy) == []
    assert all(route.is_plain for route in policy.routing.values())


def test_a_warning_hides_no_fault() -> None:
    document = routed_document({"rules": [TAKES_ALL, {"id": "late", "to": [RING]}]})
    document["stages"].append({"name": "limbo", "kind": "parked"})
    policy = Policy.model_validate_json(json.dumps(document))
    assert {one.code for one in faults(policy)} >= {"never_reached", "unreachable_stage"}


def test_the_example_of_the_documentation_has_no_fault() -> None:
    page = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
    example = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    document = routed_document(example["routing"]["sdr"], example["teams"])
    document["lists"] |= example["lists"]
    policy = read_document(document)
    assert isinstance(policy, Policy), policy
    assert faults(policy) == []
