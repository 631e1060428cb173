"""Statements about the runs of clocks, and the calendars by which they are counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Records, Tx

CALENDARS = text(
    """
    SELECT t.calendar, u.id, u.time_zone, u.working_hours
      FROM tenants t LEFT JOIN users u ON u.tenant_id = :tenant_id AND u.id = ANY(:owners)
     WHERE t.id = :tenant_id
    """
).bindparams(bindparam("owners", type_=ARRAY(Uuid)), bindparam("tenant_id", type_=Uuid))
CALENDARS_OF_RUNS = text(
    "SELECT id, calendar FROM clock_runs WHERE tenant_id = :tenant_id AND id = ANY(:ids)"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)), bindparam("tenant_id", type_=Uuid))
# Writes the rows of the parameter `runs`; `recording` (sql.py) has it as one of its parts. What a run was before stays
# in `past`, under the names of the columns, for reports as of an earlier instant.
WRITE = """
    INSERT INTO clock_runs (tenant_id, id, lead_id, journey_id, clock, minutes, calendar, owner_id, started_at, due_at,
           recorded_at, met_at, met_recorded_at, stopped_at, stopped_recorded_at, breached_at, business_minutes, team,
           changed_at, started_owner_id, breached_owner_id, voided_at)
    SELECT :tenant_id, id, lead_id, journey_id, clock, minutes, coalesce(calendar, '{}'), owner_id, started_at, due_at,
           recorded_at, met_at, met_recorded_at, stopped_at, stopped_recorded_at, breached_at, business_minutes, team,
           changed_at, started_owner_id, breached_owner_id, voided_at
      FROM jsonb_to_recordset(:runs) AS r(
           id uuid, lead_id uuid, journey_id uuid, clock text, minutes integer, calendar jsonb, owner_id uuid,
           started_at timestamptz, due_at timestamptz, recorded_at timestamptz, met_at timestamptz,
           met_recorded_at timestamptz, stopped_at timestamptz, stopped_recorded_at timestamptz,
           breached_at timestamptz, business_minutes integer, team text, changed_at timestamptz,
           started_owner_id uuid, breached_owner_id uuid, voided_at timestamptz)
    ON CONFLICT (tenant_id, id) DO UPDATE
       SET owner_id = EXCLUDED.owner_id, met_at = EXCLUDED.met_at, met_recorded_at = EXCLUDED.met_recorded_at,
           stopped_at = EXCLUDED.stopped_at, stopped_recorded_at = EXCLUDED.stopped_recorded_at,
           breached_at = EXCLUDED.breached_at, business_minutes = EXCLUDED.business_minutes, team = EXCLUDED.team,
           changed_at = EXCLUDED.changed_at, breached_owner_id = EXCLUDED.breached_owner_id,
           voided_at = EXCLUDED.voided_at,
           past = clock_runs.past || jsonb_build_object(
               'until', EXCLUDED.changed_at, 'owner_id', clock_runs.owner_id, 'team', clock_runs.team,
               'met_at', clock_runs.met_at, 'stopped_at', clock_runs.stopped_at,
               'business_minutes', clock_runs.business_minutes)
"""
WRITE_RUNS = text(WRITE).bindparams(bindparam("runs", type_=JSONB), bindparam("tenant_id", type_=Uuid))
RUNS_OF_JOURNEY = text(
    """
    SELECT id, journey_id, clock, minutes, started_at, recorded_at, owner_id, due_at, met_at, met_recorded_at,
           stopped_at, stopped_recorded_at, breached_at, business_minutes, started_owner_id, breached_owner_id,
           voided_at
      FROM clock_runs WHERE tenant_id = :tenant_id AND journey_id = :journey_id ORDER BY started_at, recorded_at, id
    """
).bindparams(bindparam("journey_id", type_=Uuid), bindparam("tenant_id", type_=Uuid))
RUNS_OF_LEAD = text(
    """
    SELECT r.id, r.journey_id, r.clock, r.minutes, r.started_at, r.recorded_at, r.owner_id, r.due_at, r.met_at,
           r.met_recorded_at, r.stopped_at, r.stopped_recorded_at, r.breached_at, r.business_minutes,
           r.started_owner_id, r.breached_owner_id, r.voided_at, j.number
      FROM clock_runs r JOIN journeys j ON j.tenant_id = r.tenant_id AND j.id = r.journey_id
     WHERE r.tenant_id = :tenant_id AND r.lead_id = :lead_id ORDER BY j.number, r.started_at, r.recorded_at, r.id
    """
).bindparams(bindparam("lead_id", type_=Uuid), bindparam("tenant_id", type_=Uuid))


async def calendars(tx: Tx, tenant_id: UUID, owners: Collection[UUID]) -> Records:
    """The calendar of the tenant, with the zone and hours of each of these users: one row at least."""
    return (await tx.execute(CALENDARS, {"tenant_id": tenant_id, "owners": list(owners)})).all()


async def calendars_of_runs(tx: Tx, tenant_id: UUID, run_ids: Collection[UUID]) -> Records:
    """The calendars by which these runs are counted."""
    return (await tx.execute(CALENDARS_OF_RUNS, {"tenant_id": tenant_id, "ids": list(run_ids)})).all()


async def write_runs(tx: Tx, tenant_id: UUID, runs: Sequence[Mapping[str, Any]]) -> None:
    """Inserts new runs, and updates what happened to others. Their leads are locked."""
    await tx.execute(WRITE_RUNS, {"tenant_id": tenant_id, "runs": list(runs)})


async def runs_of_journey(tx: Tx, tenant_id: UUID, journey_id: UUID) -> Records:
    """All runs of a journey, the first first."""
    return (await tx.execute(RUNS_OF_JOURNEY, {"tenant_id": tenant_id, "journey_id": journey_id})).all()


async def runs_of_lead(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Records:
    """All runs of a lead with the numbers of their journeys, the first first."""
    return (await tx.execute(RUNS_OF_LEAD, {"tenant_id": tenant_id, "lead_id": lead_id})).all()
