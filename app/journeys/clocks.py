"""What changes of a lead do to its clocks. When a run is due is computed as it is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys import clocks_sql
from app.journeys.state import Change, Journey, Owner, earliest
from app.lifecycle.answer import Move, OpportunityMove
from app.lifecycle.business_time import DAY, MINUTE, Calendar, calendar_of
from app.lifecycle.clocks import Run, after_attempts, after_move, after_opportunity, next_breach
from app.policy.document import Policy


def end_clocks(change: Change, at: datetime) -> None:
    """Stops the clocks of the journey that another one follows."""
    _advance(change, lambda run: run.stopped(at, change.now) if run.running else run)


def move_clocks(
    change: Change, journey: Journey, policy: Policy, move: Move, closed_at: datetime | None, before: Owner | None
) -> None:
    """Meets, stops and starts clocks of the journey.

    Before the move it had been closed at `closed_at`, and the lead had the owner `before`, who answers for what ends;
    where there was none, whoever has taken the lead by the move does.
    """
    _advance(change, lambda run: after_move(policy, run, move, change.now, closed_at), before)
    running = {run.clock for run in change.lead.clocks if run.running}
    resumed = [name for name in move.resumes_clocks if name not in running]
    for name in dict.fromkeys((*move.starts_clocks, *resumed)):
        run = Run(ids.new_id(), journey.id, name, policy.clocks[name].minutes, move.occurred_at, change.now)
        change.put_clock(_started_with(change, run))


def opportunity_clocks(change: Change, journey_id: UUID, move: OpportunityMove) -> None:
    """Meets and stops clocks of the journey that the opportunity came from, if it is the present one."""
    journey = change.lead.journey
    if journey is not None and journey.id == journey_id:
        _advance(change, lambda run: after_opportunity(change.published.policy, run, move, change.now))


def meet_by_attempts(change: Change) -> None:
    """Meets the clocks that wait for a contact attempt, if there is one."""
    policy, activities = change.published.policy, change.lead.activities
    _advance(change, lambda run: after_attempts(policy, run, activities, change.now))


def _advance(change: Change, after: Callable[[Run], Run], owner: Owner | None = None) -> None:
    for run in list(change.lead.clocks):
        changed = after(run)
        if changed.running != run.running:
            changed = replace(changed, owner_id=owner.id if owner else _owner_id(change))
        if changed is not run and changed != run:
            change.put_clock(changed)


def own_clocks(change: Change) -> None:
    """Clocks that the change starts run by the hours of the owner whom a route has chosen since."""
    for run in list(change.clocks.values()):
        if run.due_at is None:
            change.put_clock(_started_with(change, run))


def _started_with(change: Change, run: Run) -> Run:
    owner_id = _owner_id(change)
    return replace(run, started_owner_id=owner_id, owner_id=owner_id)


def _owner_id(change: Change) -> UUID | None:
    return change.lead.owner.id if change.lead.owner else None


async def settle_clocks(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    """Computes when started clocks are due, and how many business minutes it took to meet met ones.

    The minutes count from the start, or from now if that is later: nobody could have kept to a clock that was not known
    yet. The calendar is kept with the run, so that a later change of it does not move what was promised.
    """
    changed = [(change, run) for change in changes for run in change.clocks.values()]
    started = [(change, run) for change, run in changed if run.due_at is None]
    known = await _calendars(tx, tenant_id, [run for _, run in started])
    for change, run in started:
        document = _from(known[run.started_owner_id], run.started_at.date() - DAY)
        due_at = Calendar.read(document).add(max(run.started_at, change.now), run.minutes)
        change.put_clock(replace(run, due_at=due_at, calendar=document))
        change.evaluate_at = earliest(change.evaluate_at, next_breach(change.lead.clocks))
    await _measure(tx, tenant_id, changes)


async def _calendars(tx: Tx, tenant_id: UUID, started: Sequence[Run]) -> dict[UUID | None, dict[str, Any]]:
    """The calendar of each owner as a document, and under None that of the tenant."""
    if not started:
        return {}
    owners = {run.started_owner_id for run in started if run.started_owner_id is not None}
    rows = await clocks_sql.calendars(tx, tenant_id, owners)
    own = {row.id: calendar_of(row.calendar, row.time_zone, row.working_hours) for row in rows}
    return {None: dict(rows[0].calendar), **own}


def _from(document: dict[str, Any], first: date) -> dict[str, Any]:
    """The calendar without the holidays before this date."""
    return {**document, "holidays": [day for day in document.get("holidays") or () if day >= first.isoformat()]}


async def _measure(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    met = [(change, run) for change in changes for run in change.clocks.values() if run.met_at is not None]
    stored = [run.id for _, run in met if run.calendar is None]
    rows = await clocks_sql.calendars_of_runs(tx, tenant_id, stored) if stored else ()
    calendars = {row.id: row.calendar for row in rows}
    for change, run in met:
        calendar = Calendar.read(run.calendar or calendars[run.id])
        minutes = calendar.between(run.started_at, run.met_at or run.started_at) // MINUTE
        change.put_clock(replace(run, business_minutes=minutes))


async def write_clocks(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    """Writes the changed runs of changes that are not recorded otherwise. Their journeys are written already."""
    rows = [row for change in changes for row in run_rows(change)]
    if rows:
        await clocks_sql.write_runs(tx, tenant_id, rows)


def run_rows(change: Change) -> list[dict[str, Any]]:
    """The rows of the changed runs."""
    owner = change.lead.owner
    team = owner.team if owner is not None and owner.team is not None else change.lead.team
    more = {"lead_id": change.lead.id, "team": team, "changed_at": change.now}
    return [{name: getattr(run, name) for name in Run.__slots__} | more for run in change.clocks.values()]
