"""What a person says of a submission that was taken for spam."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app.database.transaction import Tx
from app.errors import StateConflict
from app.journeys.record import actor_document
from app.submissions import show, sql
from app.web.auth import Caller
from app.web.fields import rfc3339


async def review(tx: Tx, caller: Caller, submission_id: UUID, now: datetime) -> None:
    """Has a submission with the verdict `spam` processed as if it looked like none. A second time changes nothing.

    Raises SubmissionNotFound where there is none, StateConflict if none of its items is spam, RequestRemoved and Erased
    where there is nothing left to process.
    """
    found = {"verdict": "not_spam", "actor": actor_document(caller.actor), "at": rfc3339(now)}
    if await sql.review(tx, caller.tenant_id, submission_id, found):
        return
    row = await sql.submission(tx, caller.tenant_id, submission_id)
    if row is None or show.is_without_request(row):
        raise show.why_without_request(row)
    if row.review is None:
        raise StateConflict("No item of this submission has the verdict spam: GET it to see what they have.")
