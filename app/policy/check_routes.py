"""The checks of routes and teams: targets that cannot take a lead, and rules that are never reached."""

from __future__ import annotations

from collections.abc import Iterator

from app.policy.document import Policy
from app.policy.facts import OWNERS
from app.policy.fault import Fault, escaped, unknown
from app.policy.routes import Route, RoutingRule, Target


def route_faults(policy: Policy) -> Iterator[Fault]:
    """Faults and warnings of the parts `teams` and `routing`."""
    yield from _teams(policy)
    for name, route in policy.routing.items():
        place = f"/routing/{name}"
        if not route.is_plain and route.role not in OWNERS:
            detail = f"a user of the role {route.role} cannot own a lead: name one of {', '.join(OWNERS)}"
            yield Fault(f"{place}/role", "cannot_own", detail)
        yield from _target(policy, place, route.otherwise)
        yield from _rules(policy, place, route)


def _teams(policy: Policy) -> Iterator[Fault]:
    for name, team in policy.teams.items():
        place = f"/teams/{escaped(name)}/accept_within_minutes"
        if team.kind == "partner" and team.accept_within_minutes is None:
            yield Fault(place, "acceptance_missing", f"say within how many minutes the partner `{name}` has to accept")
        if team.kind == "internal" and team.accept_within_minutes is not None:
            yield Fault(place, "not_a_partner", f"only a partner has to accept in time, and `{name}` is internal")


def _rules(policy: Policy, place: str, route: Route) -> Iterator[Fault]:
    seen: set[str] = set()
    last: str | None = None
    for index, rule in enumerate(route.rules):
        where = f"{place}/rules/{index}"
        if rule.id in seen:
            yield Fault(f"{where}/id", "duplicate_name", f"`{rule.id}` is used more than once")
        seen.add(rule.id)
        if last is not None:
            detail = f"`{last}` before it has no `if` and takes every lead"
            yield Fault(where, "never_reached", detail, "warning")
        if not rule.to:
            yield Fault(f"{where}/to", "target_missing", f"say in `to` who gets a lead by the rule `{rule.id}`")
        yield from _targets(policy, where, rule)
        if rule.condition is None and any(one.method != "account_owner" for one in rule.to):
            last = last or rule.id


def _targets(policy: Policy, place: str, rule: RoutingRule) -> Iterator[Fault]:
    taken = False
    for index, target in enumerate(rule.to):
        where = f"{place}/to/{index}"
        yield from _target(policy, where, target)
        if taken:
            yield Fault(where, "never_reached", "a pool before it takes every lead, and keeps it", "warning")
        taken = taken or (target.method == "pool" and target.team not in policy.partners)


def _target(policy: Policy, place: str, target: Target) -> Iterator[Fault]:
    if target.method == "account_owner" and target.team is not None:
        yield Fault(f"{place}/team", "not_here", "the owner of an account may be of any team: leave `team` out")
    elif target.team is not None and policy.teams and target.team not in policy.teams:
        yield unknown(f"{place}/team", "team", target.team, policy.teams)
    if not target.weights:
        return
    if target.method != "round_robin" or target.team is not None:
        yield Fault(f"{place}/weights", "not_here", "`weights` are those of teams in a `round_robin` without a `team`")
    for name in target.weights:
        if policy.teams and name not in policy.teams:
            yield unknown(f"{place}/weights/{escaped(name)}", "team", name, policy.teams)
        elif name in policy.partners:
            detail = f"`{name}` is a partner: give it a target of its own, with `team`"
            yield Fault(f"{place}/weights/{escaped(name)}", "not_here", detail)
    own = policy.teams.keys() - policy.partners
    if own and not any(target.weights.get(name, 1) for name in own):
        detail = "no team has a weight above 0: only users without a team get leads"
        yield Fault(f"{place}/weights", "no_weight", detail, "warning")
