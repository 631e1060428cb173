"""The runs of a lead's clocks as answers show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app import ids
from app.database.transaction import Tx
from app.journeys import clocks_sql
from app.journeys.state import Lead, Owner
from app.lifecycle.clocks import Run
from app.web.fields import ResponseBody, rfc3339


class Sla(ResponseBody):
    """The clock that runs, or the last one that was met. `breached` stays when it is met later than it was due."""

    clock: str
    started_at: str
    due_at: str
    state: Literal["due", "met", "breached"]


class ClockRunOut(Sla):
    """One run of a clock."""

    state: Literal["due", "met", "breached", "stopped"]  # type: ignore[assignment]
    journey_no: int
    minutes: int = Field(description="Business minutes within which it has to be met.")
    owner_id: str | None = Field(description="The owner of the lead when it ended; while it runs, the present one.")
    started_owner_id: str | None = Field(description="The owner when it started, by whose hours it is counted.")
    breached_owner_id: str | None = Field(description="The owner when it was breached; null where it was not.")
    met_at: str | None
    stopped_at: str | None = Field(description="When it ended without being met, because it did not matter any more.")
    voided: bool = Field(description="Whether a correction took back what it was about. It counts nowhere then.")
    business_minutes: int | None = Field(description="Whole business minutes from the start until it was met.")


class ClockRunList(ResponseBody):
    data: list[ClockRunOut]
    next: None


async def clock_runs(tx: Tx, tenant_id: UUID, lead: Lead, now: datetime) -> list[dict[str, Any]]:
    """All runs of the lead's clocks, the first first."""
    rows = await clocks_sql.runs_of_lead(tx, tenant_id, lead.id)
    return [_show(Run(*row[:-1]), row.number, lead.owner, now) for row in rows]


def _show(run: Run, journey_no: int, owner: Owner | None, now: datetime) -> dict[str, Any]:
    state, present = run.state(run.stopped_at or now), owner.id if owner else None
    # Until the task for timers has come by, nothing has changed since the breach.
    breached = present if run.running and state == "breached" and run.breached_at is None else run.breached_owner_id
    return {
        "clock": run.clock,
        "journey_no": journey_no,
        "state": "stopped" if state == "due" and run.stopped_at else state,
        "minutes": run.minutes,
        "owner_id": ids.shown("user", present if run.running else run.owner_id),
        "started_owner_id": ids.shown("user", run.started_owner_id),
        "breached_owner_id": ids.shown("user", breached),
        **{name: rfc3339(getattr(run, name)) for name in ("started_at", "due_at", "met_at", "stopped_at")},
        "voided": run.voided_at is not None,
        "business_minutes": run.business_minutes,
    }
