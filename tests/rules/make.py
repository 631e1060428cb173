"""Factories for the tests of the rules: a test gives only what it is about."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from pydantic import TypeAdapter

from app.policy.conditions import Condition
from app.policy.document import Policy
from app.policy.facts import Activity, ActivityKind, Actor, Confirmation, Criterion, Facts, Status
from app.policy.policy_view import view_of
from app.policy.read import read_document
from app.policy.shipped import shipped
from app.policy.view import Unmet

CONDITION: TypeAdapter[Condition] = TypeAdapter(Condition)
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
NAMESPACE = UUID(int=7)
PIPELINE, WATERFALL = shipped("pipeline"), shipped("waterfall")
POLICIES: dict[str, Policy] = {"pipeline": PIPELINE, "waterfall": WATERFALL}

# Fields that score fit 50 under the shipped policies.
PERSONA: dict[str, object] = {
    "job_title": "Director",
    "seniority": "director",
    "employees": 120,
    "industry": "software",
}


def uuid(name: str) -> UUID:
    return uuid5(NAMESPACE, name)


def person(role: str, name: str = "", team: str | None = None) -> Actor:
    name = name or f"{role}1"
    return Actor(f"usr_{name}", "human", role, uuid(name), team)


MARKETING, SDR, AE, MANAGER, ADMIN = (person(role) for role in ("marketing", "sdr", "ae", "manager", "admin"))
SERVICE = Actor("key_1", "service", "service")
POLICY_ACTOR = Actor(None, "policy", "policy")
IMPORT = Actor(None, "import", "import")


def activity(type: str, days_ago: float = 0, kind: ActivityKind = "interest", now: datetime = NOON) -> Activity:
    at = now - timedelta(days=days_ago)
    return Activity(uuid(f"{type}{days_ago}{kind}"), type, kind, at, at)


def call(days_ago: float = 0) -> Activity:
    return activity("call", days_ago, "contact_attempt")


def confirmation(
    criterion: Criterion, by: Actor = AE, status: Status = "confirmed", days_ago: float = 0, due_on: date | None = None
) -> Confirmation:
    assert by.user_id is not None
    return Confirmation(criterion, status, by.user_id, by.role, NOON - timedelta(days=days_ago), due_on=due_on)


def bant(*criteria: Criterion, by: Actor = AE, days_ago: float = 0) -> tuple[Confirmation, ...]:
    return tuple(confirmation(criterion, by, days_ago=days_ago) for criterion in criteria)


def parse_condition(document: object) -> Condition:
    """A condition from its JSON form."""
    return CONDITION.validate_json(json.dumps(document))


def unmet(document: object, facts: Facts, policy: Policy = PIPELINE, **view: Any) -> list[Unmet]:
    return parse_condition(document).unmet(view_of(policy, facts, view.pop("now", NOON), **view))


def document(policy: Policy) -> dict[str, Any]:
    """The document of a policy as a dict that the test may change."""
    parsed: dict[str, Any] = json.loads(policy.model_dump_json(by_alias=True, exclude_unset=True))
    return parsed


def altered(policy: Policy, change: Callable[[dict[str, Any]], object]) -> Policy:
    """The policy after a change to its document."""
    changed = document(policy)
    change(changed)
    answer = read_document(changed)
    assert isinstance(answer, Policy), answer
    return answer
