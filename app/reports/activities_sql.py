"""The activities of a lead as of the instant of a report, whatever merges have moved since."""

from __future__ import annotations


def activities_of(lead: str) -> str:
    """SQL of the activities (id, kind, occurred_at) of the lead that this expression names; reads `moved` (sql.py)."""
    return f"""
        SELECT a.id, a.kind, a.occurred_at FROM activities a
         WHERE a.tenant_id = :tenant_id AND a.lead_id = {lead} AND a.recorded_at <= :as_of
           AND NOT EXISTS (SELECT FROM moved o WHERE o.row_id = a.id AND o.lead_id <> {lead})
        UNION ALL
        SELECT a.id, a.kind, a.occurred_at FROM moved o
          JOIN activities a ON a.tenant_id = :tenant_id AND a.id = o.row_id
         WHERE o.lead_id = {lead} AND a.lead_id <> {lead} AND a.recorded_at <= :as_of
    """  # noqa: S608 - the argument is written in statements of reports
