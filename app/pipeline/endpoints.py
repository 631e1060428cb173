"""/v1/accounts, /v1/contacts, /v1/opportunities and the transitions of opportunities."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from app import ids
from app.database.transaction import Record, Tx
from app.errors import (
    AccountNotFound,
    AlreadyExists,
    AlreadyInStage,
    BackwardMove,
    ContactNotFound,
    CriteriaUnmet,
    Erased,
    HumanRequired,
    InputRequired,
    OpportunityNotFound,
    OutOfOrder,
    OwnerInvalid,
    ReasonRequired,
    RequestInvalid,
    RoleNotAllowed,
    TargetUnavailable,
    TransitionNotAllowed,
    UnknownAction,
    UnknownReason,
    VersionConflict,
)
from app.matching.company import registrable_domain
from app.matching.email import NOT_AN_EMAIL, read_email
from app.pipeline import sql
from app.pipeline.advance import TransitionRequest, advance
from app.pipeline.change import change_opportunity, change_record
from app.pipeline.create import create_account, create_contact, create_opportunity
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, Kind, missing
from app.pipeline.schemas import (
    NOT_A_DOMAIN,
    AccountCreate,
    AccountOut,
    AccountPage,
    AccountPatch,
    Business,
    Class,
    ContactCreate,
    ContactOut,
    ContactPage,
    ContactPatch,
    OpportunityAsk,
    OpportunityCreate,
    OpportunityHistory,
    OpportunityMoved,
    OpportunityOut,
    OpportunityPage,
    OpportunityPatch,
    OpportunityTransitionList,
    show_account,
    show_contact,
    show_history,
    show_opportunity,
)
from app.pipeline.steps import show_step
from app.policies.stages import check_stage
from app.policy.opportunity import ForecastCategory
from app.tenants.calendar import today
from app.web.auth import Caller, allowed
from app.web.fields import AccountId, ContactId, OpportunityId, ShortText, UserId, answer, plus_hint
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1", "pipeline")
Reader = Annotated[Caller, allowed("leads:read")]
Writer = Annotated[Caller, allowed("leads:write")]
QueryWord = Annotated[ShortText | None, Query()]
CHANGE_PROBLEMS = (AlreadyExists, VersionConflict, OwnerInvalid, TargetUnavailable)
TRANSITION_PROBLEMS = (
    OpportunityNotFound,
    VersionConflict,
    TargetUnavailable,
    UnknownAction,
    AlreadyInStage,
    BackwardMove,
    TransitionNotAllowed,
    HumanRequired,
    RoleNotAllowed,
    ReasonRequired,
    InputRequired,
    UnknownReason,
    OutOfOrder,
    CriteriaUnmet,
)


async def _existing(tx: Tx, caller: Caller, kind: Kind, record_id: UUID) -> Record:
    row = await sql.record_of(tx, caller.tenant_id, kind, record_id)
    if row is None:
        raise missing(kind, record_id)
    return row


async def _list(tx: Tx, caller: Caller, kind: Kind, page: Page, show: Any) -> Response:
    rows = await sql.list_records(tx, caller.tenant_id, kind, page, page.filters or {})
    return answer(page.answer(rows, show))


async def _answer(tx: Tx, caller: Caller, row: Record, now: datetime, status: int = 200, **headers: str) -> Response:
    """An opportunity. That it has slipped shows with time, without a new version."""
    shown = show_opportunity(row, await today(tx, caller.tenant_id, now))
    return answer(shown, status, version=row.version, moved=shown["slipped"] or None, **headers)


@api.post("/accounts", status_code=201, response_model=AccountOut, responses=declared(AlreadyExists, OwnerInvalid))
async def post_account(body: AccountCreate, caller: Writer, tx: InTx, now: Now) -> Response:
    """Create an account (a company). 409 with the live account that has the same domain or external id."""
    row = await create_account(tx, caller.tenant_id, body.model_dump(), now)
    shown = show_account(row)
    return answer(shown, 201, version=row.version, location=f"/v1/accounts/{shown['id']}")


@api.get("/accounts", response_model=AccountPage)
async def list_accounts(
    caller: Reader,
    tx: InTx,
    domain: QueryWord = None,
    external_id: QueryWord = None,
    owner_id: UserId | None = None,
    archived: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    host = registrable_domain(domain) if domain else None
    if domain and host is None:
        raise RequestInvalid.of("domain", "domain_invalid", NOT_A_DOMAIN)
    filters = {"domain": host, "external_id": external_id, "owner_id": owner_id, "archived": archived}
    return await _list(tx, caller, ACCOUNT, Page(limit, cursor, filters=filters), show_account)


@api.get("/accounts/{account_id}", response_model=AccountOut, responses=declared(AccountNotFound))
async def get_account(account_id: AccountId, caller: Reader, tx: InTx) -> Response:
    row = await _existing(tx, caller, ACCOUNT, account_id)
    return answer(show_account(row), version=row.version)


@api.patch(
    "/accounts/{account_id}",
    response_model=AccountOut,
    responses=declared(AccountNotFound, Erased, *CHANGE_PROBLEMS),
)
async def patch_account(
    account_id: AccountId, body: AccountPatch, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Members merge, null clears; `{"archived": true}` archives."""
    values = body.model_dump(exclude_unset=True)
    row = await change_record(tx, caller.tenant_id, ACCOUNT, account_id, values, expected, now)
    return answer(show_account(row), version=row.version)


@api.post(
    "/contacts",
    status_code=201,
    response_model=ContactOut,
    responses=declared(AlreadyExists, AccountNotFound, OwnerInvalid, TargetUnavailable),
)
async def post_contact(body: ContactCreate, caller: Writer, tx: InTx, now: Now) -> Response:
    """Create a contact (a qualified person). 409 with the live contact that has the same e-mail or external id."""
    row = await create_contact(tx, caller, body.model_dump(), now)
    shown = show_contact(row)
    return answer(shown, 201, version=row.version, location=f"/v1/contacts/{shown['id']}")


@api.get("/contacts", response_model=ContactPage)
async def list_contacts(
    caller: Reader,
    tx: InTx,
    email: QueryWord = None,
    account_id: AccountId | None = None,
    external_id: QueryWord = None,
    owner_id: UserId | None = None,
    archived: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    read = read_email(email) if email else None
    if email and read is None:
        raise RequestInvalid.of("email", "email_invalid", NOT_AN_EMAIL + plus_hint(email))
    filters = {
        "email_key": read.key if read else None,
        "account_id": account_id,
        "external_id": external_id,
        "owner_id": owner_id,
        "archived": archived,
    }
    return await _list(tx, caller, CONTACT, Page(limit, cursor, filters=filters), show_contact)


@api.get("/contacts/{contact_id}", response_model=ContactOut, responses=declared(ContactNotFound))
async def get_contact(contact_id: ContactId, caller: Reader, tx: InTx) -> Response:
    row = await _existing(tx, caller, CONTACT, contact_id)
    return answer(show_contact(row), version=row.version)


@api.patch(
    "/contacts/{contact_id}",
    response_model=ContactOut,
    responses=declared(ContactNotFound, AccountNotFound, Erased, *CHANGE_PROBLEMS),
)
async def patch_contact(
    contact_id: ContactId, body: ContactPatch, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Members merge, null clears; `{"archived": true}` archives."""
    values = body.model_dump(exclude_unset=True)
    row = await change_record(tx, caller.tenant_id, CONTACT, contact_id, values, expected, now)
    return answer(show_contact(row), version=row.version)


@api.post(
    "/opportunities",
    status_code=201,
    response_model=OpportunityOut,
    responses=declared(AlreadyExists, AccountNotFound, ContactNotFound, OwnerInvalid, OutOfOrder, TargetUnavailable),
)
async def post_opportunity(body: OpportunityCreate, caller: Writer, tx: InTx, now: Now) -> Response:
    """Create an opportunity without a lead, at the first stage of the active policy."""
    values = {name: getattr(body, name) for name in type(body).model_fields}
    row = await create_opportunity(tx, caller, values, now)
    return await _answer(tx, caller, row, now, 201, location=f"/v1/opportunities/{ids.show('opportunity', row.id)}")


@api.get("/opportunities", response_model=OpportunityPage)
async def list_opportunities(
    caller: Reader,
    tx: InTx,
    now: Now,
    account_id: AccountId | None = None,
    contact_id: ContactId | None = None,
    owner_id: UserId | None = None,
    stage: QueryWord = None,
    of_class: Annotated[Class | None, Query(alias="class")] = None,
    business: Business | None = None,
    external_id: QueryWord = None,
    forecast_category: ForecastCategory | None = None,
    slipped: Annotated[bool | None, Query(description="Whether the close date is past and it is open.")] = None,
    archived: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    await check_stage(tx, caller.tenant_id, "opportunity", stage)
    filters = {
        "account_id": account_id,
        "contact_id": contact_id,
        "owner_id": owner_id,
        "stage": stage,
        "class": of_class,
        "business": business,
        "external_id": external_id,
        "forecast_category": forecast_category,
        "slipped": slipped,
        "archived": archived,
    }
    page, day = Page(limit, cursor, filters=filters), await today(tx, caller.tenant_id, now)
    rows = await sql.list_opportunities(tx, caller.tenant_id, page, filters, day)
    return answer(page.answer(rows, partial(show_opportunity, today=day)))


@api.get("/opportunities/{opportunity_id}", response_model=OpportunityOut, responses=declared(OpportunityNotFound))
async def get_opportunity(opportunity_id: OpportunityId, caller: Reader, tx: InTx, now: Now) -> Response:
    return await _answer(tx, caller, await _existing(tx, caller, OPPORTUNITY, opportunity_id), now)


@api.get(
    "/opportunities/{opportunity_id}/history",
    response_model=OpportunityHistory,
    responses=declared(OpportunityNotFound),
)
async def get_opportunity_history(opportunity_id: OpportunityId, caller: Reader, tx: InTx) -> Response:
    """What forecasts count of an opportunity after each change of it, oldest first."""
    await _existing(tx, caller, OPPORTUNITY, opportunity_id)
    rows = await sql.states_of(tx, caller.tenant_id, opportunity_id)
    return answer({"data": show_history(rows), "next": None})


@api.patch(
    "/opportunities/{opportunity_id}",
    response_model=OpportunityOut,
    responses=declared(
        OpportunityNotFound, AccountNotFound, ContactNotFound, HumanRequired, RoleNotAllowed, *CHANGE_PROBLEMS
    ),
)
async def patch_opportunity(
    opportunity_id: OpportunityId, body: OpportunityPatch, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Members merge, null clears; the stage is changed by a transition only."""
    values = {name: getattr(body, name) for name in body.model_fields_set}
    row = await change_opportunity(tx, caller, opportunity_id, values, expected, now)
    return await _answer(tx, caller, row, now)


@api.post(
    "/opportunities/{opportunity_id}/transitions",
    status_code=201,
    response_model=OpportunityMoved,
    responses=declared(*TRANSITION_PROBLEMS),
)
async def post_opportunity_transition(
    opportunity_id: OpportunityId, body: OpportunityAsk, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Take an action on an opportunity (qualify, advance, win, lose, reopen), under the guards of its policy."""
    bant = body.bant.model_dump(exclude_none=True) if body.bant else None
    request = TransitionRequest(body.action, body.to, body.reason_code, body.note, bant, body.occurred_at)
    step, row = await advance(tx, caller, opportunity_id, request, expected, now)
    shown = show_opportunity(row, await today(tx, caller.tenant_id, now))
    return answer({"transition": step.document(), "opportunity": shown}, 201, version=row.version)


@api.get(
    "/opportunities/{opportunity_id}/transitions",
    response_model=OpportunityTransitionList,
    responses=declared(OpportunityNotFound),
)
async def list_opportunity_transitions(opportunity_id: OpportunityId, caller: Reader, tx: InTx) -> Response:
    """The transitions of an opportunity, oldest first."""
    await _existing(tx, caller, OPPORTUNITY, opportunity_id)
    rows = await sql.steps_of(tx, caller.tenant_id, opportunity_id)
    return answer({"data": [show_step(row) for row in rows], "next": None})
