"""What time alone does to a journey: a clock is breached, or the journey has stood in its stage for too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from app import ids
from app.events.record import NewEvent
from app.journeys.apply import apply_move, reroute
from app.journeys.state import Change
from app.lifecycle.answer import Move, Refused, Stay
from app.lifecycle.clocks import AFTER, Run, overdue
from app.lifecycle.decide import decide
from app.policy.clocks import OnBreach
from app.policy.facts import POLICY, Ask
from app.policy.policy_view import view_of
from app.scoring.score import score, with_score
from app.web.fields import rfc3339

BREACHED = "lead.sla_breached"


def breach(change: Change, at: datetime) -> None:
    """Does what `on_breach` of each overdue clock says, once, and marks the run so that it is not done again."""
    for late in overdue(change.lead.clocks, at):
        owner_id = change.lead.owner.id if change.lead.owner else None
        known = {one.id: one for one in change.lead.clocks}  # what one breach does may have stopped the next clock
        run = replace(known.get(late.id, late), breached_at=at, breached_owner_id=owner_id, owner_id=owner_id)
        change.put_clock(run)
        clock = change.published.policy.clocks.get(run.clock)
        for reaction in clock.on_breach if clock else ():
            _react(change, run, reaction, at)


def _react(change: Change, run: Run, reaction: OnBreach, at: datetime) -> None:
    policy, facts = change.published.policy, change.facts()
    change.score = score(policy, facts, at)
    facts = with_score(facts, change.score)
    asked_at = max(at, facts.last_occurred_at or at)
    ask = Ask(reaction.do, POLICY, occurred_at=asked_at, reason_code=reaction.reason_code)
    if reaction.condition is not None and not reaction.condition.holds(view_of(policy, facts, at, ask)):
        return
    if reaction.emit is not None:
        change.late_events.append(_event(change, run, reaction.emit))
    elif reaction.assign is not None:
        reroute(change, reaction.assign)
    else:
        match decide(policy, facts, ask, at):
            case Move() as move:
                apply_move(change, move)
            case Refused() | Stay():
                return
            case unexpected:
                assert_never(unexpected)


def _event(change: Change, run: Run, name: str) -> NewEvent:
    """The event of a breach. It is told once, as every event of `on_breach`."""
    journey, occurred_at = change.lead.journey, run.due_at or change.now
    assert journey is not None, "only a journey has clocks"
    data = {
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": journey.number,
        "stage": journey.stage,
        "occurred_at": rfc3339(occurred_at),
    }
    if name == BREACHED:
        data |= {"clock": run.clock, "started_at": rfc3339(run.started_at), "due_at": rfc3339(run.due_at)}
        data |= {"owner_id": ids.shown("user", run.breached_owner_id)}
    return NewEvent(name, data, occurred_at)


def next_stall(change: Change) -> datetime | None:
    """The first instant at which the journey is stalled; None if it never is, or if that was told already."""
    journey = change.lead.journey
    stage = change.published.policy.stage_of.get(journey.stage) if journey else None
    if journey is None or stage is None or journey.stalled_at is not None:
        return None
    since = stage.stale_since(journey.stage_entered_at)
    return None if since is None else since + AFTER


def stall(change: Change, at: datetime) -> None:
    """Tells once that the journey has stood in its stage for as long as the policy allows."""
    journey, due = change.lead.journey, next_stall(change)
    if journey is None or due is None or due > at:
        return
    journey.stalled_at = at
    change.touch(journey)
    data = {
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": journey.number,
        "stage": journey.stage,
        "stage_entered_at": rfc3339(journey.stage_entered_at),
        "stalled_since": rfc3339(due - AFTER),
    }
    change.late_events.append(NewEvent("lead.stalled", data, due - AFTER))
