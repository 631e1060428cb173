"""Writes prepared changes of leads in one statement, with rows of other features (docs/decisions/0095)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.database.parts import Rows
from app.database.transaction import Tx
from app.journeys import routing_sql, sql
from app.journeys.distribute import keep
from app.journeys.state import Change


@dataclass(frozen=True, slots=True)
class Recording:
    """Changes of leads that are complete, and can be shown before they are written. `more`: rows of other tables."""

    tx: Tx
    tenant_id: UUID
    changes: Sequence[Change]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    more: Rows

    async def write(self, more: Rows) -> None:
        """Writes each change as a new version of its lead, with all rows of other tables.

        The leads are locked or new, so a missing row is a bug. Raises ChangedMeanwhile as `sql.record_changes`.
        """
        tx, tenant_id, changes = self.tx, self.tenant_id, self.changes
        voids = [
            {"journey_id": journey_id, "name": name, "voided_at": change.now}
            for change in changes
            for journey_id, name in change.voids
        ]
        await sql.void_milestones(tx, tenant_id, voids)
        taken_back = [
            {"journey_id": journey_id, "route": route, "voided_at": change.now}
            for change in changes
            for journey_id, route in change.voided_routes
        ]
        await routing_sql.void_assignments(tx, tenant_id, taken_back)
        rows = await sql.record_changes(tx, tenant_id, self.rows, {**self.more, **more})
        written = {row.id: row for row in rows}
        journeys = next(iter(written.values())).journeys if written else 0
        if len(written) != len(changes) or journeys != len(self.rows["opened"]) + len(self.rows["moved"]):
            raise RuntimeError("a locked lead or journey was not written")
        await keep(tx, tenant_id, changes)
        for change in changes:
            change.lead.version = written[change.lead.id].version
