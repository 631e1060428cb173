"""Bodies of /v1/leads/{id}/erasure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app import ids
from app.database.transaction import Record
from app.policy.shape import Like
from app.web.fields import Code, Instant, LeadId, RequestBody, ResponseBody, rfc3339

RequestNumber = Annotated[
    str,
    Like("DSR-2026/41", "write letters, digits and ._/#-, at most 64", r"^[A-Za-z0-9][A-Za-z0-9._/#-]{0,63}$"),
]


class ErasureIn(RequestBody):
    """Both stay in the audit log, which nothing is removed from: neither takes free text."""

    reason: Code = Field(description="A code of your own.", examples=["person_asked"])
    request_id: RequestNumber | None = Field(default=None, description="The number of the person's request.")


class ErasureOut(ResponseBody):
    """`lead_ids`: the lead and those that were merged into it. `finished_at`: when the last copies were looked for."""

    lead_id: LeadId
    lead_ids: list[LeadId]
    reason: str
    request_id: str | None
    erased_at: Instant
    finished_at: Instant | None


def show_erasure(row: Record) -> dict[str, Any]:
    return {
        "lead_id": ids.show("lead", row.lead_id),
        "lead_ids": [ids.show("lead", one) for one in row.lead_ids],
        "reason": row.reason,
        "request_id": row.request_id,
        "erased_at": rfc3339(row.erased_at),
        "finished_at": rfc3339(row.finished_at),
    }
