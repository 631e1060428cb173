"""Give leads that a route has taken to the users or pools that its rules choose; a batch of leads at once.

Rings are locked after all leads of the transaction, in the order of their names, so that assignments at the same time
follow each other in one turn; before them the users, who are not changed until the choice is committed. What was chosen
is written with the change (`keep`), so a refused request moves no ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys import routing_sql
from app.journeys.absence import is_absent
from app.journeys.clocks import own_clocks
from app.journeys.evaluate import wake_for_offer
from app.journeys.explain import assignment_document
from app.journeys.state import Assignment, Change, Lapsed, Lead, Offer, Owner, Routing
from app.matching.company import company_domain
from app.policy.policy_view import view_of
from app.policy.routes import Route
from app.routing.choose import Account, Choice, Staff, choose, choose_next, rings_of
from app.routing.ring import Member, Position
from app.scoring.score import with_score
from app.web.fields import rfc3339


@dataclass(frozen=True, slots=True)
class Staffing:
    """What choices are made from. It changes with each choice: the next lead finds the ring one further."""

    rosters: dict[str, list[Member]]
    positions: dict[str, Position]
    accounts: dict[UUID, Account]

    def of(self, route: Route, lead: Lead, lapsed: Lapsed) -> Staff:
        """Those of the route's role; who let the lead lie counts as not available."""
        roster = [
            replace(one, had_it=True) if one.user_id in lapsed.users or one.team in lapsed.teams else one
            for one in self.rosters[route.role]
        ]
        return Staff(roster, self.positions, self.accounts.get(lead.id), lapsed.teams)

    def took(self, assignment: Assignment) -> None:
        if assignment.ring is not None and assignment.position is not None:
            self.positions[assignment.ring] = assignment.position
        for roster in self.rosters.values():
            roster[:] = [
                replace(one, load=one.load + 1) if one.user_id == assignment.owner_id else one for one in roster
            ]


async def distribute(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    """Chooses for each change whose lead waits for a route; the others have what was chosen in this transaction."""
    waiting = [(change, change.routing) for change in changes if change.routing is not None]
    if not waiting:
        return
    routes = [routing.published.policy.routing[routing.route] for _, routing in waiting]
    rings = {name for route in routes for name in rings_of(route)}
    await routing_sql.lock_staff(tx, tenant_id)
    locked = await routing_sql.lock_rings(tx, tenant_id, rings) if rings else []
    staffing = Staffing(
        await _rosters(tx, tenant_id, {route.role for route in routes}, waiting[0][0].now),
        {row.name: Position(row.place, row.user_id) for row in locked if row.user_id is not None},
        await _accounts(tx, tenant_id, [change for change, _ in waiting]),
    )
    made = sorted((one for change in changes for one in change.assignments), key=lambda one: one.number)
    for assignment in made:
        staffing.took(assignment)
    first = made[-1].number + 1 if made else 0
    for number, ((change, routing), route) in enumerate(zip(waiting, routes, strict=True), first):
        choice = _choice(change, routing, route, staffing)
        _apply(change, routing, route, choice, staffing, number)
        staffing.took(change.assignments[-1])


async def keep(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    """Writes the choices of recorded changes, and how far they moved the rings."""
    made = [(change, assignment) for change in changes for assignment in change.assignments]
    if not made:
        return
    rows = [
        {"id": one.id, "journey_id": one.journey_id, "recorded_at": change.now, "document": one.document}
        for change, one in made
    ]
    in_order = sorted((one for _, one in made), key=lambda one: one.number)
    last = {one.ring: one.position for one in in_order if one.position is not None}
    positions = [{"name": ring, "place": at.place, "user_id": at.user_id} for ring, at in last.items()]
    await routing_sql.keep_assignments(tx, tenant_id, rows, positions)


async def _rosters(tx: Tx, tenant_id: UUID, roles: set[str], now: datetime) -> dict[str, list[Member]]:
    rosters: dict[str, list[Member]] = {role: [] for role in roles}
    for row in await routing_sql.roster(tx, tenant_id, roles):
        absent = is_absent(row.absences, now)
        rosters[row.role].append(Member(row.id, row.team, row.weight, row.capacity, row.leads, absent))
    return rosters


async def _accounts(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> dict[UUID, Account]:
    wanted = [
        {"lead_id": lead.id, "account_id": lead.account_id, "domain": domain}
        for lead in (change.lead for change in changes)
        if (domain := _domain(lead)) is not None or lead.account_id is not None
    ]
    rows = await routing_sql.accounts_of(tx, tenant_id, wanted)
    return {row.lead_id: Account(row.id, row.owner_id) for row in rows}


def _domain(lead: Lead) -> str | None:
    """The domain of the lead's company, as the conversion finds its account."""
    flags = lead.flags
    return company_domain(
        (lead.fields.get("domain"),), flags.get("email_domain"), role_mailbox=bool(flags.get("role_mailbox"))
    )


def _choice(change: Change, routing: Routing, route: Route, staffing: Staffing) -> Choice:
    """Somebody who has not let the lead lie in this journey; where no such user is available, one who has, but for the
    last one. A partner gets it again only where everybody of the role belongs to such partners."""
    journey, without = change.lead.journey, routing.without
    lapsed = journey.lapsed if journey else Lapsed()
    choice = _choice_of(change, routing, route, staffing.of(route, change.lead, lapsed))
    if choice.reason != "nobody_available":
        return choice
    others = any(one.team not in lapsed.teams for one in staffing.rosters[route.role])
    last = Lapsed(frozenset() if without is None else frozenset([without]), lapsed.teams if others else frozenset())
    again = _choice_of(change, routing, route, staffing.of(route, change.lead, last))
    return again if again.reason == "assigned" else choice


def _choice_of(change: Change, routing: Routing, route: Route, staff: Staff) -> Choice:
    policy, expired = routing.published.policy, routing.expired
    if expired is not None:
        return choose_next(policy, route, expired.rule, expired.target, staff)
    facts = change.facts()
    scored = with_score(facts, change.score) if change.score else facts
    return choose(route, view_of(policy, scored, change.now), staff)


def _apply(change: Change, routing: Routing, route: Route, choice: Choice, staffing: Staffing, number: int) -> None:
    """Sets owner, team and offer, completes the event of the assignment, and remembers the choice."""
    lead, journey, now = change.lead, change.lead.journey, change.now
    assert journey is not None, "a route takes leads that have a journey"
    member = next((one for one in staffing.rosters[route.role] if one.user_id == choice.owner_id), None)
    lead.owner = Owner(member.user_id, route.role, member.team) if member else None
    lead.team = choice.team
    minutes = choice.accept_within_minutes
    accept_by = now + timedelta(minutes=minutes) if minutes is not None else None
    journey.offer = Offer(routing.route, route.role, choice.rule, choice.target, accept_by) if accept_by else None
    change.touch(journey)
    own_clocks(change)
    change.routing = None
    wake_for_offer(change)
    expired = routing.expired is not None
    document = assignment_document(routing.published, routing.route, choice, now, accept_by, expired=expired)
    event = change.late_events[routing.event]
    told = {name: document[name] for name in ("owner_id", "pool", "team", "rule", "reason", "not_accepted_in_time")}
    data = {**event.data, **told, "accept_by": rfc3339(accept_by)}
    change.late_events[routing.event] = replace(event, data=data)
    ring = choice.tried[-1] if choice.tried and choice.tried[-1].chosen else None
    where = (ring.ring, ring.chosen) if ring else (None, None)
    change.assignments.append(Assignment(ids.new_id(), number, journey.id, choice.owner_id, *where, document))
