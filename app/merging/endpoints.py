"""/v1/leads/{id}/merge and /unmerge, /v1/duplicates."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from app.errors import (
    DuplicateNotFound,
    Erased,
    HumanRequired,
    LeadMerged,
    LeadNotFound,
    LeadNotMerged,
    RoleNotAllowed,
    StateConflict,
    TargetUnavailable,
    VersionConflict,
)
from app.journeys.shown import show_lead
from app.leads.history import read_scored
from app.leads.schemas import LeadOut
from app.merging import sql
from app.merging.merge import merge
from app.merging.schemas import (
    DuplicateOut,
    DuplicatePage,
    MergeIn,
    State,
    VerdictIn,
    VerdictOut,
    show_duplicate,
)
from app.merging.unmerge import unmerge
from app.merging.verdict import decide
from app.web.auth import Caller, allowed
from app.web.fields import DuplicateId, LeadId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1/leads", "duplicates")
Writer = Annotated[Caller, allowed("leads:write")]
Reader = Annotated[Caller, allowed("leads:read")]
duplicates_api = router("/v1/duplicates", "duplicates")
PROBLEMS = (LeadNotFound, Erased, LeadMerged, VersionConflict, HumanRequired, RoleNotAllowed)


@api.post("/{lead_id}/merge", response_model=LeadOut, responses=declared(*PROBLEMS, TargetUnavailable))
async def post_merge(
    request: Request, lead_id: LeadId, body: MergeIn, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Merge the lead into another one, which remains and is answered. Both must be people, or both organizations."""
    request.state.lead_id = body.into
    await merge(tx, caller, lead_id, body.into, expected, now)
    change = await read_scored(tx, caller.tenant_id, lead_id, now)
    return answer(show_lead(change, merged_from=lead_id), version=change.lead.version)


@api.post("/{lead_id}/unmerge", response_model=LeadOut, responses=declared(*PROBLEMS, LeadNotMerged))
async def post_unmerge(
    request: Request, lead_id: LeadId, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Undo the merge of this lead: it gets back what it had, and what came since stays with the other lead.

    `If-Match` names the version that reading the merged lead answers: that of the lead that remained.
    """
    request.state.lead_id = lead_id
    await unmerge(tx, caller, lead_id, expected, now)
    change = await read_scored(tx, caller.tenant_id, lead_id, now)
    return answer(show_lead(change), version=change.lead.version)


@duplicates_api.get("", response_model=DuplicatePage)
async def list_duplicates(
    caller: Reader,
    tx: InTx,
    state: State = "open",
    lead_id: LeadId | None = None,
    min_score: Annotated[int | None, Query(ge=0, le=99)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Pairs of leads that may be one person, newest first: those that wait for a verdict, or those with one."""
    filters = {"state": state, "lead_id": lead_id, "min_score": min_score}
    page = Page(limit, cursor, "created_at", filters)
    return answer(page.answer(await sql.list_duplicates(tx, caller.tenant_id, page, filters), show_duplicate))


@duplicates_api.get("/{duplicate_id}", response_model=DuplicateOut, responses=declared(DuplicateNotFound))
async def get_duplicate(duplicate_id: DuplicateId, caller: Reader, tx: InTx) -> Response:
    """One pair, with the reasons why the two may be one person, and the verdict if there is one."""
    row = await sql.duplicate(tx, caller.tenant_id, duplicate_id)
    if row is None:
        raise DuplicateNotFound()
    return answer(show_duplicate(row), version=row.version)


@duplicates_api.post(
    "/{duplicate_id}/verdict",
    response_model=VerdictOut,
    responses=declared(
        DuplicateNotFound, Erased, LeadMerged, StateConflict, VersionConflict, HumanRequired, RoleNotAllowed
    ),
)
async def post_verdict(
    duplicate_id: DuplicateId, body: VerdictIn, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Merge the two leads, or say that they are two people: then the pair comes up again only for a new reason."""
    lead_id = await decide(tx, caller, duplicate_id, body, expected, now)
    row = await sql.duplicate(tx, caller.tenant_id, duplicate_id)
    assert row is not None, "a pair is never deleted"
    lead = show_lead(await read_scored(tx, caller.tenant_id, lead_id, now))
    return answer({"duplicate": show_duplicate(row), "lead": lead}, version=row.version)
