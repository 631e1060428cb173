"""A choice of a route as `GET /v1/leads/{id}/assignment` shows it. It is stored, so that it says what was true then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app import ids
from app.policies.published import Published
from app.policy.routes import Route
from app.routing.choose import Choice, Considered, Tried
from app.routing.ring import Member, number
from app.web.fields import rfc3339

Document = dict[str, Any]


def assignment_document(
    published: Published, name: str, choice: Choice, now: datetime, accept_by: datetime | None, *, expired: bool
) -> Document:
    route = published.policy.routing[name]
    return {
        "assigned_at": rfc3339(now),
        "policy_version": published.number,
        "route": name,
        "role": route.role,
        "reason": choice.reason,
        "not_accepted_in_time": expired,
        "owner_id": ids.shown("user", choice.owner_id),
        "pool": None if choice.owner_id else route.role,
        "team": choice.team,
        "rule": choice.rule,
        "accept_by": rfc3339(accept_by),
        "rules": [] if expired else _rules(route, choice.considered, choice.rule),
        "targets": [_target(one) for one in choice.tried],
    }


def _rules(route: Route, considered: Sequence[Considered], taken: str | None) -> list[Document]:
    """Each rule of the route: whether its condition held, what was unmet, and whether it decided."""
    known = {one.rule: one for one in considered}
    return [
        {
            "rule": rule.id,
            "holds": None if rule.id not in known else not known[rule.id].unmet,
            "unmet": list(known[rule.id].unmet) if rule.id in known else [],
            "decided": rule.id == taken,
        }
        for rule in route.rules
    ]


def _target(tried: Tried) -> Document:
    account = tried.account
    return {
        "method": tried.target.method,
        "team": tried.target.team,
        "outcome": tried.outcome,
        "account_id": ids.shown("account", account.id if account else None),
        "account_owner_id": ids.shown("user", account.owner_id if account else None),
        "ring": None if tried.ring is None else _ring(tried, tried.ring),
    }


def _ring(tried: Tried, name: str) -> Document:
    members, chosen = tried.members, tried.chosen
    return {
        "name": name,
        "position": number(members, chosen) if chosen else None,
        "places": sum(one.weight for one in members),
        "members": [_member(one, place) for place, one in enumerate(members, 1)],
    }


def _member(member: Member, place: int) -> Document:
    return {
        "position": place,
        "user_id": ids.show("user", member.user_id),
        "team": member.team,
        "weight": member.weight,
        "load": member.load,
        "capacity": member.capacity,
        "absent": member.absent,
        "unavailable": member.unavailable,
    }
