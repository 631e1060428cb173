"""Conversion endpoints: convert, preview, read, convert many; and what the leads of a contact or account did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from app.conversion import account, linked_sql, sql
from app.conversion.batch import convert_batch
from app.conversion.convert import convert
from app.conversion.order import BatchOrder, ConversionOrder, RevertOrder
from app.conversion.preview import preview
from app.conversion.problems import ConversionReverted
from app.conversion.revert import RevertRequest, preview_revert, revert
from app.conversion.schemas import (
    AccountCounts,
    AccountPeople,
    AccountTimeline,
    BatchOut,
    ConversionOut,
    Preview,
    RevertOut,
    RevertPreview,
)
from app.errors import (
    AccountNotFound,
    AlreadyExists,
    AmbiguousMatch,
    BackwardMove,
    ClassNotAllowed,
    ContactNotFound,
    ContactNotInAccount,
    ConversionNotFound,
    CriteriaUnmet,
    CursorInvalid,
    Erased,
    HumanRequired,
    IdempotencyKeyRequired,
    LeadAlreadyConverted,
    LeadMerged,
    LeadNotFound,
    OpportunityNotFound,
    OutOfOrder,
    OwnerInvalid,
    RevertBlocked,
    RoleNotAllowed,
    TargetUnavailable,
    TransitionNotAllowed,
    VersionConflict,
)
from app.journeys.load import OfLead
from app.journeys.refusals import REFUSALS
from app.journeys.shown import show_lead
from app.journeys.sql import survivor_of
from app.leads.schemas import ActivityPage, show_activity
from app.pipeline.kinds import ACCOUNT, CONTACT, missing
from app.pipeline.sql import record_of
from app.web.auth import Caller, allowed
from app.web.fields import AccountId, ContactId, LeadId, answer, rfc3339
from app.web.gather import Verb, gather
from app.web.idempotency import key_of
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import Gathered, InTx, Now
from app.web.versions import Expected

api = router("/v1", "conversion")
gathered_api = router("/v1", "conversion", Gathered)
Reader = Annotated[Caller, allowed("leads:read")]
Converter = Annotated[Caller, allowed("leads:convert")]
CONVERSION_PROBLEMS = (
    IdempotencyKeyRequired,
    LeadNotFound,
    AccountNotFound,
    ContactNotFound,
    OpportunityNotFound,
    HumanRequired,
    RoleNotAllowed,
    LeadAlreadyConverted,
    TransitionNotAllowed,
    BackwardMove,
    LeadMerged,
    AmbiguousMatch,
    AlreadyExists,
    Erased,
    VersionConflict,
    ClassNotAllowed,
    ContactNotInAccount,
    TargetUnavailable,
    OwnerInvalid,
    OutOfOrder,
    CriteriaUnmet,
)
PREVIEW_PROBLEMS = (
    LeadNotFound,
    AccountNotFound,
    ContactNotFound,
    OpportunityNotFound,
    LeadMerged,
    Erased,
    VersionConflict,
)
REVERT_PROBLEMS = (LeadNotFound, ConversionNotFound, Erased, LeadMerged, VersionConflict, *REFUSALS)
Strict = Annotated[bool, Query(description="Refuse where something would be left in place, and change nothing.")]


async def key_required(request: Request) -> None:
    """Raises IdempotencyKeyRequired; a dependency, so that it is checked before the body."""
    if key_of(request) is None:
        raise IdempotencyKeyRequired()


def _show_conversion(made: Mapping[str, Any]) -> Response:
    return answer({"conversion": made}, 201, location=f"/v1/leads/{made['lead_id']}/conversion")


CONVERT = Verb("convert", convert, _show_conversion)


@gathered_api.post(
    "/leads/{lead_id}/conversion",
    status_code=201,
    response_model=ConversionOut,
    responses=declared(*CONVERSION_PROBLEMS),
    dependencies=[Depends(key_required)],
)
async def post_conversion(
    request: Request, lead_id: LeadId, body: ConversionOrder, caller: Converter, expected: Expected
) -> Response:
    """Convert a lead: make or link its account, contact and opportunity in one transaction, once per journey."""
    request.state.lead_id = lead_id
    return await gather(CONVERT, request, caller, OfLead(lead_id, body, expected, has_key=True), [lead_id])


@api.post("/leads/{lead_id}/conversion/preview", response_model=Preview, responses=declared(*PREVIEW_PROBLEMS))
async def post_preview(
    lead_id: LeadId, body: ConversionOrder, caller: Reader, tx: InTx, now: Now, expected: Expected
) -> Response:
    """What the same request to `conversion` would do, and every problem that prevents it. Writes nothing."""
    return answer(await preview(tx, caller, lead_id, body, expected, now))


@api.post(
    "/leads/{lead_id}/conversion/revert",
    response_model=RevertOut,
    responses=declared(*REVERT_PROBLEMS, ConversionReverted, RevertBlocked),
)
async def post_revert(
    request: Request,
    lead_id: LeadId,
    body: RevertOrder,
    caller: Converter,
    tx: InTx,
    now: Now,
    expected: Expected,
    strict: Strict = False,
) -> Response:
    """Take back the conversion of the lead's journey: archive what it made, empty what it filled, return the stage."""
    request.state.lead_id = lead_id
    done = await revert(tx, caller, lead_id, RevertRequest(**body.model_dump(), strict=strict), expected, now)
    members = {"conversion": done.conversion, "transition": done.transition, "lead": show_lead(done.change)}
    return answer({**members, **done.undone}, version=done.change.lead.version)


@api.post(
    "/leads/{lead_id}/conversion/revert/preview",
    response_model=RevertPreview,
    responses=declared(LeadNotFound, LeadMerged, Erased, VersionConflict),
)
async def post_revert_preview(
    lead_id: LeadId, body: RevertOrder, caller: Reader, tx: InTx, now: Now, expected: Expected, strict: Strict = False
) -> Response:
    """What the same request to `conversion/revert` would do, and every problem that prevents it. Writes nothing."""
    asked = RevertRequest(**body.model_dump(), strict=strict)
    return answer(await preview_revert(tx, caller, lead_id, asked, expected, now))


@api.post(
    "/conversions/batch",
    response_model=BatchOut,
    responses=declared(*CONVERSION_PROBLEMS),
    dependencies=[Depends(key_required)],
)
async def post_batch(body: BatchOrder, caller: Converter, tx: InTx, now: Now) -> Response:
    """Convert up to 100 leads. Results are in the order of the items, each with the status of a single conversion; an
    item of a wrong form has 422, unless all have or the batch is atomic: then the request has. A refused atomic batch
    has `index` and `lead_id` (null for a wrong form), and `conflicts_with_index` where an earlier item would have made
    what is in the way."""
    return answer({"results": await convert_batch(tx, caller, body, now)})


@api.get(
    "/leads/{lead_id}/conversion",
    response_model=ConversionOut,
    responses=declared(LeadNotFound, ConversionNotFound, Erased),
)
async def get_conversion(lead_id: LeadId, caller: Reader, tx: InTx) -> Response:
    """The lead's latest conversion."""
    row = await sql.latest_conversion(tx, caller.tenant_id, await survivor_of(tx, caller.tenant_id, lead_id))
    if row is None:
        raise LeadNotFound()
    if row.erased_at is not None:
        raise Erased()
    if row.answer is None:
        raise ConversionNotFound()
    return answer({"conversion": {**row.answer, "reverted_at": rfc3339(row.reverted_at)}})


@api.get("/contacts/{contact_id}/activities", response_model=ActivityPage, responses=declared(ContactNotFound))
async def list_contact_activities(
    contact_id: ContactId, caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The activities of the leads of this contact: those linked when a form came, and those converted to it.

    Without those of a conversion with `carry_activities: false`.
    """
    if await record_of(tx, caller.tenant_id, CONTACT, contact_id) is None:
        raise missing(CONTACT, contact_id)
    page = Page(limit, cursor, "recorded_at", {"contact_id": contact_id})
    rows = await linked_sql.activities_of_contact(tx, caller.tenant_id, contact_id, page)
    return answer(page.answer(rows, lambda row: show_activity(row, row.lead_id)))


@api.get("/accounts/{account_id}/activities", response_model=ActivityPage, responses=declared(AccountNotFound))
async def list_account_activities(
    account_id: AccountId, caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The activities of the leads of this account and of its contacts, by the same rule as for a contact."""
    if await record_of(tx, caller.tenant_id, ACCOUNT, account_id) is None:
        raise missing(ACCOUNT, account_id)
    page = Page(limit, cursor, "recorded_at", {"account_id": account_id})
    rows = await linked_sql.activities_of_account(tx, caller.tenant_id, account_id, page)
    return answer(page.answer(rows, lambda row: show_activity(row, row.lead_id)))


@api.get("/accounts/{account_id}/counts", response_model=AccountCounts, responses=declared(AccountNotFound))
async def get_account_counts(account_id: AccountId, caller: Reader, tx: InTx) -> Response:
    """How many people this account has, and how many journeys, in all and by milestone."""
    if await record_of(tx, caller.tenant_id, ACCOUNT, account_id) is None:
        raise missing(ACCOUNT, account_id)
    return answer(dict(await linked_sql.counts_of_account(tx, caller.tenant_id, account_id)))


@api.get(
    "/accounts/{account_id}/people",
    response_model=AccountPeople,
    responses=declared(AccountNotFound, CursorInvalid),
)
async def list_account_people(
    account_id: AccountId, caller: Reader, tx: InTx, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The contacts and leads of this account, by link or because they share its domain; newest first."""
    return answer(await account.people_of(tx, caller.tenant_id, account_id, limit, cursor, now))


@api.get(
    "/accounts/{account_id}/timeline",
    response_model=AccountTimeline,
    responses=declared(AccountNotFound, CursorInvalid),
)
async def list_account_timeline(
    account_id: AccountId, caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """What the people linked to this account did, their transitions, and those of its opportunities; newest first."""
    return answer(await account.timeline_of(tx, caller.tenant_id, account_id, limit, cursor))
