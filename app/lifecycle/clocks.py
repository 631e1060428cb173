"""The clocks of a journey: which of their runs are met or stopped, and in which state a run is at an instant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from app.lifecycle.adopt import CHANGE_POLICY
from app.lifecycle.answer import Move, OpportunityMove
from app.lifecycle.merging import UNMERGE
from app.policy.clocks import ATTEMPT, Clock
from app.policy.document import Policy
from app.policy.facts import Activity

State = Literal["due", "met", "breached"]
AFTER: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a clock of the policy, in one journey.

    `due_at` and `calendar` are None in a run that is not recorded yet; `calendar` is not loaded with a stored one.
    `breached_at`: when what `on_breach` says was done. `owner_id`: the owner of the lead when the run ended, before
    that when it was breached or started; `started_owner_id` and `breached_owner_id`: the one at start and at breach.
    `business_minutes`: from the start until it was met. The instants `…recorded_at` say since when something is known.
    `voided_at`: since when it is known that what the run was about, or what met it, was a mistake.
    """

    id: UUID
    journey_id: UUID
    clock: str
    minutes: int
    started_at: datetime
    recorded_at: datetime
    owner_id: UUID | None = None
    due_at: datetime | None = None
    met_at: datetime | None = None
    met_recorded_at: datetime | None = None
    stopped_at: datetime | None = None
    stopped_recorded_at: datetime | None = None
    breached_at: datetime | None = None
    business_minutes: int | None = None
    started_owner_id: UUID | None = None
    breached_owner_id: UUID | None = None
    voided_at: datetime | None = None
    calendar: Mapping[str, Any] | None = None

    @property
    def running(self) -> bool:
        return self.met_at is None and self.stopped_at is None

    def state(self, now: datetime) -> State:
        """Met in time, breached (also if it was met later), or due."""
        if self.met_at is not None and (self.due_at is None or self.met_at <= self.due_at):
            return "met"
        return "breached" if self.due_at is not None and now > self.due_at else "due"

    def met(self, at: datetime, now: datetime) -> Run:
        """The run as met at `at`. One that was known to be met in time has been known since then."""
        in_time = self.met_at is not None and self.state(now) == "met"
        return replace(self, met_at=at, met_recorded_at=self.met_recorded_at if in_time else now)

    def stopped(self, at: datetime, now: datetime) -> Run:
        return replace(self, stopped_at=at, stopped_recorded_at=now)


def shown(runs: Iterable[Run]) -> Run | None:
    """The run that a lead shows: the latest that is running, else the latest of all, unless that one was stopped.

    Void ones are left out.
    """
    standing = (run for run in runs if run.voided_at is None)
    latest = max(standing, key=lambda run: (run.running, run.started_at, run.recorded_at), default=None)
    return None if latest is None or latest.stopped_at is not None else latest


def overdue(runs: Iterable[Run], at: datetime) -> list[Run]:
    """The runs that were not met until they were due, and whose `on_breach` was not done yet; the first due first."""
    late = [run for run in runs if run.running and run.breached_at is None and run.state(at) == "breached"]
    return sorted(late, key=lambda run: (run.due_at or at, run.id))


def next_breach(runs: Iterable[Run]) -> datetime | None:
    """The first instant at which a run is overdue."""
    due = [run.due_at for run in runs if run.running and run.breached_at is None and run.due_at is not None]
    return min(due) + AFTER if due else None


def as_of(runs: Iterable[Run], at: datetime) -> list[Run]:
    """The runs as they were known at a past instant."""
    return [
        replace(
            run,
            met_at=run.met_at if run.met_recorded_at is None or run.met_recorded_at <= at else None,
            stopped_at=run.stopped_at if run.stopped_recorded_at is None or run.stopped_recorded_at <= at else None,
            voided_at=run.voided_at if run.voided_at is None or run.voided_at <= at else None,
        )
        for run in runs
        if run.recorded_at <= at
    ]


def after_attempts(policy: Policy, run: Run, activities: Iterable[Activity], now: datetime) -> Run:
    """The run after these activities: the first attempt while it ran meets it, in whatever order they are recorded."""
    clock = policy.clocks.get(run.clock)
    if clock is None or clock.met_by != ATTEMPT:
        return run
    until = run.met_at or run.stopped_at
    made = [
        one.occurred_at
        for one in activities
        if one.kind == ATTEMPT and one.occurred_at >= run.started_at and (until is None or one.occurred_at < until)
    ]
    return run.met(min(made), now) if made else run


def after_move(policy: Policy, run: Run, move: Move, now: datetime, closed_at: datetime | None) -> Run:
    """The run after a move of its journey, which had been closed at `closed_at`.

    The end of a journey stops its clocks; after a conversion those go on that the opportunity can meet. A move to a
    version of the policy that lacks the clock stops it. What a merge has stopped goes on when it is undone. A move that
    voids milestones voids runs as well.
    """
    if _is_taken_back(policy, run, move):
        ended = run.stopped(move.occurred_at, now) if run.running else run
        return replace(ended, voided_at=now)
    if move.action == UNMERGE and run.stopped_at is not None and run.stopped_at == closed_at:
        return replace(run, stopped_at=None, stopped_recorded_at=None)
    if not run.running:
        return run
    if _is_met(policy, run, move.action, [name for name, _ in move.milestones]):
        return run.met(move.occurred_at, now)
    into = policy.stage_of.get(move.to_stage)
    goes_on = into is not None and into.of_conversion and _milestones_of_class(policy, run)
    gone = move.action == CHANGE_POLICY and run.clock not in policy.clocks
    ends = gone or run.clock in move.starts_clocks or (move.closes and not goes_on)
    if ends or {"all", run.clock} & {*move.stops_clocks}:
        return run.stopped(move.occurred_at, now)
    return run


def _is_taken_back(policy: Policy, run: Run, move: Move) -> bool:
    """Whether the stage that started the run, or the milestone that met it, is taken back."""
    if run.clock in move.voids_clocks:
        return True
    clock = policy.clocks.get(run.clock)
    return clock is not None and run.met_at is not None and not _milestones(policy, clock).isdisjoint(move.voids)


def after_opportunity(policy: Policy, run: Run, move: OpportunityMove, now: datetime) -> Run:
    """The run after a move of the opportunity that its journey was converted to."""
    if not run.running:
        return run
    if _is_met(policy, run, None, move.milestones):
        return run.met(move.occurred_at, now)
    return run.stopped(move.occurred_at, now) if move.closes else run


def _is_met(policy: Policy, run: Run, action: str | None, reached: Collection[str]) -> bool:
    """Whether the action meets the clock, or a milestone of the stage that the action of `met_by` enters."""
    clock = policy.clocks.get(run.clock)
    return clock is not None and (clock.met_by == action or bool(_milestones(policy, clock) & set(reached)))


def _milestones(policy: Policy, clock: Clock) -> set[str]:
    entering = policy.action_of.get(clock.met_by)
    return {one.name for one in policy.milestones if entering is not None and one.stage == entering.to}


def _milestones_of_class(policy: Policy, run: Run) -> set[str]:
    """The milestones that meet the clock and that an opportunity reaches by its class."""
    clock = policy.clocks.get(run.clock)
    return _milestones(policy, clock) & {one.name for one in policy.milestones if one.of_class} if clock else set()
