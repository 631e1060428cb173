"""Condition words about the score, activities, BANT, people and the journey (schema.md, section 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.policy.facts import CRITERIA, PEOPLE, Activity, ActivityKind, Confirmation, Criterion
from app.policy.view import ConditionBase, Part, Unmet, View, at_least, days_after, leaf

Role = Literal["marketing", "sdr", "ae", "manager", "admin"]
OpportunityStageClass = Literal["unqualified", "qualified", "won", "lost"]
Points = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Count = Annotated[int, Field(ge=1, le=1000)]
Days = Annotated[int, Field(ge=1, le=3650)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Values = Name | Annotated[tuple[Name | None, ...], Field(min_length=1, max_length=100)] | None


def may(role: str | None, roles: Collection[str]) -> bool:
    """Whether the role is one of these; an admin may do whatever a manager may."""
    return role in roles or (role == "admin" and "manager" in roles)


class AtLeastPoints(Part):
    at_least: Points


class Fit(ConditionBase):
    fit: AtLeastPoints

    def unmet(self, view: View) -> list[Unmet]:
        return [] if self.holds(view) else leaf("fit", view.fit, self.fit.at_least)

    def holds(self, view: View) -> bool:
        return view.fit >= self.fit.at_least


class Engagement(ConditionBase):
    engagement: AtLeastPoints

    def unmet(self, view: View) -> list[Unmet]:
        return [] if self.holds(view) else leaf("engagement", view.engagement, self.engagement.at_least)

    def holds(self, view: View) -> bool:
        return view.engagement >= self.engagement.at_least


class Level(ConditionBase):
    level: AtLeastPoints

    def unmet(self, view: View) -> list[Unmet]:
        return [] if self.holds(view) else leaf("level", view.level, self.level.at_least)

    def holds(self, view: View) -> bool:
        return view.level >= self.level.at_least


class ActivityArguments(Part):
    types: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)] | None = None
    kind: ActivityKind | None = None
    within_days: Days | None = None
    since: Literal["baseline"] | None = None
    min_count: Count = 1


class HasActivity(ConditionBase):
    activity: ActivityArguments

    def matching(self, view: View) -> list[Activity]:
        """The activities that count now."""
        wanted = self.activity
        after = view.facts.baseline_at if wanted.since else None
        earliest = view.now - timedelta(days=wanted.within_days) if wanted.within_days else None
        return [
            one
            for one in view.facts.activities
            if (wanted.types is None or one.type in wanted.types)
            and (wanted.kind is None or one.kind == wanted.kind)
            and (after is None or one.occurred_at > after)
            and (earliest is None or one.occurred_at >= earliest)
        ]

    def unmet(self, view: View) -> list[Unmet]:
        wanted = self.activity
        if self.holds(view):
            return []
        have = len(self.matching(view))
        types = list(wanted.types) if wanted.types else None
        return leaf("activity", have, wanted.min_count, types=types, within_days=wanted.within_days)

    def holds(self, view: View) -> bool:
        return len(self.matching(view)) >= self.activity.min_count

    @property
    def timed(self) -> bool:
        return self.activity.within_days is not None

    def changes(self, view: View) -> Iterator[datetime]:
        wanted = self.activity
        if wanted.within_days is None:
            return
        # Time only moves activities out of the window: the condition fails when the oldest of those needed leaves it.
        newest = sorted((one.occurred_at for one in self.matching(view)), reverse=True)
        if len(newest) >= wanted.min_count:
            yield days_after(newest[wanted.min_count - 1], wanted.within_days)


class SequenceArguments(Part):
    types: Annotated[tuple[Name, ...], Field(min_length=2, max_length=20)]
    within_days: Days


class HasSequence(ConditionBase):
    """Different activities of these types, in this order, all inside one span. Those of one instant have any order."""

    sequence: SequenceArguments

    def unmet(self, view: View) -> list[Unmet]:
        types, span = self.sequence.types, timedelta(days=self.sequence.within_days)
        # For each prefix of `types`, the latest start of a match: a later start fits the span at least as well.
        starts: list[datetime | None] = [None] * len(types)
        seen = sorted((one for one in view.facts.activities if one.type in types), key=_occurred_at)
        for at, at_once in groupby(seen, key=_occurred_at):
            self._extend(starts, at, Counter(one.type for one in at_once), span)
        reached = sum(start is not None for start in starts)
        if reached == len(types):
            return []
        return leaf("sequence", types[reached - 1] if reached else None, types[reached])

    def _extend(self, starts: list[datetime | None], at: datetime, at_once: Counter[str], span: timedelta) -> None:
        """Extends the matches by the activities of one instant, each of which is used once."""
        types, before = self.sequence.types, list(starts)
        for place in range(len(types)):
            used: Counter[str] = Counter()
            for first in range(place, -1, -1):
                used[types[first]] += 1
                if used[types[first]] > at_once[types[first]]:
                    break
                start = before[first - 1] if first else at
                if start is not None and at - start <= span:
                    starts[place] = max(starts[place] or start, start)


def _occurred_at(activity: Activity) -> datetime:
    return activity.occurred_at


class BantArguments(Part):
    min: Annotated[int, Field(ge=0, le=4)]
    must: Annotated[tuple[Criterion, ...], Field(max_length=4)] = ()
    by: Literal["any", "actor", "people"] | Annotated[tuple[Role, ...], Field(min_length=1, max_length=5)] = "any"
    within_days: Days | None = None


class Bant(ConditionBase):
    bant: BantArguments

    def confirmations(self, view: View) -> list[Confirmation]:
        """The rows that count: the latest of each user and criterion, from the users and days this condition names."""
        if not view.confirmations:
            return []
        rows = latest(view.confirmations)
        by = self.bant.by
        if by == "actor":
            user_id = view.ask.actor.user_id if view.ask else None
            rows = [row for row in rows if row.user_id == user_id]
        elif by != "any":
            rows = [row for row in rows if may(row.role, PEOPLE if by == "people" else by)]
        if self.bant.within_days is not None:
            earliest = view.now - timedelta(days=self.bant.within_days)
            rows = [row for row in rows if row.recorded_at >= earliest]
        return [row for row in rows if row.status == "confirmed"]

    def unmet(self, view: View) -> list[Unmet]:
        confirmed = {row.criterion for row in self.confirmations(view)}
        have, need = len(confirmed), self.bant.min
        enough = have >= need
        if enough and confirmed.issuperset(self.bant.must):
            return []
        relevant = self.bant.must if enough else CRITERIA
        missing = [name for name in CRITERIA if name in relevant and name not in confirmed]
        return leaf("bant", have, need, missing=missing)

    @property
    def timed(self) -> bool:
        return self.bant.within_days is not None

    def changes(self, view: View) -> Iterator[datetime]:
        if self.bant.within_days is not None:
            for row in self.confirmations(view):
                yield days_after(row.recorded_at, self.bant.within_days)


def latest(rows: tuple[Confirmation, ...]) -> list[Confirmation]:
    """The latest row of each user for each criterion; of two at the same instant the later in the list."""
    last: dict[tuple[object, str], Confirmation] = {}
    for row in rows:
        key = (row.user_id, row.criterion)
        if key not in last or row.recorded_at >= last[key].recorded_at:
            last[key] = row
    return list(last.values())


class AtLeastCount(Part):
    at_least: Count


class Attempts(ConditionBase):
    """Contact attempts of this journey since its last assignment to a pool or to another owner."""

    attempts: AtLeastCount

    def unmet(self, view: View) -> list[Unmet]:
        facts = view.facts
        since = max((at for at in (facts.opened_at, facts.assigned_at) if at is not None), default=None)
        made = [one.occurred_at for one in facts.activities if one.kind == "contact_attempt"]
        return at_least("attempts", sum(since is None or at >= since for at in made), self.attempts.at_least)


class Identities(ConditionBase):
    identities: AtLeastCount

    def unmet(self, view: View) -> list[Unmet]:
        return at_least("identities", view.facts.identities, self.identities.at_least)


class Owner(ConditionBase):
    """The owner is the actor, nobody (of a lead in the actor's team), or a user of the actor's team.

    A lead without a team is in every team's, but not in that of a partner who let it lie.
    """

    owner: Annotated[tuple[Literal["actor", "nobody", "team"], ...], Field(min_length=1, max_length=3)]

    def unmet(self, view: View) -> list[Unmet]:
        facts, actor = view.facts, view.ask.actor if view.ask else None
        owner, user_id, team = facts.owner_id, actor.user_id if actor else None, actor.team if actor else None
        team_of_lead = facts.team or facts.owner_team
        same_team = team in (None, team_of_lead) or (team_of_lead is None and team not in facts.lapsed_teams)
        matches = {
            "actor": owner is not None and owner == user_id,
            "nobody": owner is None and same_team,
            "team": owner is not None and user_id is not None and same_team,
        }
        if any(matches[who] for who in self.owner):
            return []
        have = facts.owner_public_id or (str(owner) if owner else None)
        return leaf("owner", have, self.owner[0])


class ActorRoles(Part):
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=5)]


class ActorIs(ConditionBase):
    actor: ActorRoles

    def unmet(self, view: View) -> list[Unmet]:
        role = view.ask.actor.role if view.ask else None
        return [] if may(role, self.actor.roles) else leaf("actor", role, list(self.actor.roles))


class Assignable(ConditionBase):
    """The request names an active user of the role, or names none and a route (a pool) assigns the lead."""

    assignable: Name

    def unmet(self, view: View) -> list[Unmet]:
        routed = view.policy.role_of_route.get(self.assignable)
        role = routed or self.assignable
        if view.ask is None or view.ask.owner_id is None:
            return [] if routed else leaf("assignable", None, role)
        return [] if view.ask.owner_role == role else leaf("assignable", view.ask.owner_role, role)


def as_values(values: str | tuple[str | None, ...] | None) -> tuple[str | None, ...]:
    """The values as a tuple; a single value becomes a tuple of one."""
    return values if isinstance(values, tuple) else (values,)


def one_of(criterion: str, have: str | None, values: Values) -> list[Unmet]:
    """An empty list if `have` is one of the values, else the leaf."""
    wanted = as_values(values)
    return [] if have in wanted else leaf(criterion, have, list(wanted))


class FromStage(ConditionBase):
    stages: Values = Field(alias="from")

    def unmet(self, view: View) -> list[Unmet]:
        return one_of("from", view.facts.stage, self.stages)


class IntoStage(ConditionBase):
    """The stage being entered; the current one when none is entered."""

    stage: Values

    def unmet(self, view: View) -> list[Unmet]:
        return one_of("stage", view.target, self.stage)


class ReasonIs(ConditionBase):
    reason: Values

    def unmet(self, view: View) -> list[Unmet]:
        return one_of("reason", view.ask.reason_code if view.ask else None, self.reason)


class EntryIs(ConditionBase):
    entry: Values

    def unmet(self, view: View) -> list[Unmet]:
        return one_of("entry", view.facts.entry, self.entry)


class AtMostDays(Part):
    at_most_days: Annotated[int, Field(ge=0, le=3650)]


class ClosedFor(ConditionBase):
    """Closed for at most `at_most_days` times 24 h; `have` rounds up to whole days."""

    closed_for: AtMostDays

    def unmet(self, view: View) -> list[Unmet]:
        closed_at, need = view.facts.closed_at, self.closed_for.at_most_days
        if closed_at is None:
            return leaf("closed_for", None, need)
        age = view.now - closed_at
        return [] if age <= timedelta(days=need) else leaf("closed_for", -(-age // timedelta(days=1)), need)

    @property
    def timed(self) -> bool:
        return True

    def changes(self, view: View) -> Iterator[datetime]:
        if view.facts.closed_at:
            yield days_after(view.facts.closed_at, self.closed_for.at_most_days)


class NewestJourney(ConditionBase):
    newest_journey: bool

    def unmet(self, view: View) -> list[Unmet]:
        have, need = view.facts.newest_journey, self.newest_journey
        return [] if have is need else leaf("newest_journey", have, need)


class ClosingReason(ConditionBase):
    """The journey's closing reason is marked as permanent in the policy."""

    closing_reason: Literal["permanent"]

    def unmet(self, view: View) -> list[Unmet]:
        have = view.facts.closing_reason
        return [] if have in view.policy.permanent_reasons else leaf("closing_reason", have, "permanent")


class ClassArguments(Part):
    exactly_one: ClassVar[tuple[str, ...]] = ("among", "not_in")

    among: tuple[OpportunityStageClass, ...] | None = Field(default=None, alias="in")
    not_in: tuple[OpportunityStageClass, ...] | None = None


class OpportunityClass(ConditionBase):
    opportunity_class: ClassArguments

    def unmet(self, view: View) -> list[Unmet]:
        have, wanted = view.facts.opportunity_class, self.opportunity_class
        if wanted.among is not None and have not in wanted.among:
            return leaf("opportunity_class", have, {"in": list(wanted.among)})
        if wanted.not_in is not None and have in wanted.not_in:
            return leaf("opportunity_class", have, {"not_in": list(wanted.not_in)})
        return []


class WakeAt(ConditionBase):
    wake_at: Literal["reached"]

    def unmet(self, view: View) -> list[Unmet]:
        wake_at = view.facts.wake_at
        if wake_at is not None and wake_at <= view.now:
            return []
        return leaf("wake_at", wake_at.isoformat() if wake_at else None, "reached")

    @property
    def timed(self) -> bool:
        return True

    def changes(self, view: View) -> Iterator[datetime]:
        if view.facts.wake_at:
            yield view.facts.wake_at


class Contactable(ConditionBase):
    contactable: bool

    def unmet(self, view: View) -> list[Unmet]:
        have, need = view.facts.contactable, self.contactable
        return [] if have is need else leaf("contactable", have, need)
