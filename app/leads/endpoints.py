"""/v1/leads and /v1/activities."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from app.errors import (
    AccountNotFound,
    ContactNotFound,
    CursorInvalid,
    Erased,
    HumanRequired,
    IdentityRequired,
    IdentityTaken,
    LeadMerged,
    LeadNotFound,
    OutOfOrder,
    OwnerInvalid,
    RoleNotAllowed,
    SourceNotFound,
    VersionConflict,
)
from app.events import feed
from app.events.cursors import CURSOR_PROBLEMS, Filters, position_of
from app.events.schemas import EventPage, Include
from app.journeys.load import OfLead, read_lead
from app.journeys.shown import show_lead
from app.leads import history, qualifications_sql, sql
from app.leads.activities import record_activities, record_one_each
from app.leads.assignment import AssignmentOut, read_assignment
from app.leads.attributes import attributes
from app.leads.bant import confirm, show_confirmations
from app.leads.capture import SUPPRESSED, Captured
from app.leads.change import patch_lead
from app.leads.clocks import ClockRunList, clock_runs
from app.leads.consent import consent_log, purposes, put_consents
from app.leads.consent_schemas import ConsentPurposes, ConsentsIn, ConsentsOut, ConsentsPut, show_consent
from app.leads.create import create_leads, names_of
from app.leads.exception import set_exception, take_back_exception
from app.leads.filters import LeadFilters, Sort
from app.leads.find import find_leads
from app.leads.future import AsOf
from app.leads.included import include_leads
from app.leads.past import read_as_of, show_as_of
from app.leads.provenance import field_origins
from app.leads.qualification_schemas import AttributeList, BantOut, ExceptionIn, ScoreOut, Suppressed
from app.leads.qualifications import QualificationList, show_qualification
from app.leads.schemas import (
    ActivitiesIn,
    ActivitiesOut,
    ActivityIn,
    ActivityOut,
    ActivityPage,
    Bant,
    FieldList,
    JourneyList,
    LeadCreate,
    LeadOut,
    LeadPage,
    LeadPatch,
    TimelineOut,
    TransitionList,
    show_activity,
    show_journey,
    show_transition,
)
from app.policies.stages import check_stage
from app.web.auth import Caller, allowed
from app.web.fields import LeadId, answer
from app.web.gather import Verb, gather
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import Gathered, InTx, Now
from app.web.versions import Expected

api = router("/v1/leads", "leads")
gathered_api = router("/v1/leads", "leads", Gathered)
activities_api = router("/v1", "leads")
Reader = Annotated[Caller, allowed("leads:read")]
Writer = Annotated[Caller, allowed("leads:write")]
Privacy = Annotated[Caller, allowed("privacy")]
READ_PROBLEMS = (LeadNotFound, Erased)
WRITE_PROBLEMS = (*READ_PROBLEMS, LeadMerged, VersionConflict)
EXCEPTION_PROBLEMS = declared(*WRITE_PROBLEMS, HumanRequired, RoleNotAllowed)


def _show_captured(captured: Captured) -> Response:
    if captured.reason == SUPPRESSED:
        return answer({"suppressed": True}, 202)
    assert captured.change is not None, "every arrival of this door may create its lead"
    lead = show_lead(captured.change)
    status = 201 if captured.created else 200
    return answer(lead, status, version=lead["version"], location=f"/v1/leads/{lead['id']}")


CREATE = Verb("create_lead", create_leads, _show_captured, lambda captured: captured.lead_id)
RECORD = Verb("record_activity", record_one_each, lambda recorded: answer(recorded[0], 201 if recorded[1] else 200))


@gathered_api.post(
    "",
    status_code=201,
    response_model=LeadOut,
    responses={
        **declared(IdentityRequired, SourceNotFound, ContactNotFound, AccountNotFound, OutOfOrder),
        200: {"model": LeadOut, "description": "A lead with the same identity existed."},
        202: {"model": Suppressed, "description": "The person was erased, and nothing was stored."},
    },
)
async def post_lead(request: Request, body: LeadCreate, caller: Writer) -> Response:
    """Create a lead (201), or update the one that has the same identity (200). Submissions follow the same rules."""
    return await gather(CREATE, request, caller, body, names_of(body))


@api.get("", response_model=LeadPage)
async def list_leads(
    caller: Reader,
    tx: InTx,
    now: Now,
    filters: LeadFilters,
    sort: Sort = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Leads, newest first, with their scores of now. The filters `temperature` and `sla` use the last evaluation."""
    await check_stage(tx, caller.tenant_id, "lead", filters["stage"])
    found, following = await find_leads(tx, caller.tenant_id, limit, cursor, sort, filters)
    leads = await history.leads_of(tx, caller.tenant_id, found, now)
    return answer({"data": leads, "next": following})


@api.get("/{lead_id}", response_model=LeadOut, responses=declared(*READ_PROBLEMS))
async def get_lead(lead_id: LeadId, caller: Reader, tx: InTx, now: Now, as_of: AsOf) -> Response:
    """One lead with its score of now; with `as_of`, the lead and score as recorded by that instant.

    Of a merged lead: the lead that it was merged into, and `merged_from`.
    """
    if as_of is None:
        change = await history.read_scored(tx, caller.tenant_id, lead_id, now)
        lead = show_lead(change, merged_from=lead_id)
        return answer(lead, version=change.lead.version, moved=history.moved_members(change))
    return answer(await show_as_of(tx, caller.tenant_id, lead_id, as_of))


@api.patch("/{lead_id}", response_model=LeadOut, responses=declared(*WRITE_PROBLEMS, IdentityTaken, OwnerInvalid))
async def patch(lead_id: LeadId, body: LeadPatch, caller: Writer, tx: InTx, now: Now, expected: Expected) -> Response:
    """Merge the members; null empties one. A changed e-mail or phone becomes primary; the old one stays an identity."""
    change = await patch_lead(tx, caller, lead_id, body.model_dump(exclude_unset=True), expected, now)
    return answer(show_lead(change), version=change.lead.version)


@gathered_api.post(
    "/{lead_id}/activities",
    status_code=201,
    response_model=ActivityOut,
    responses={
        **declared(*WRITE_PROBLEMS, OutOfOrder),
        200: {"model": ActivityOut, "description": "The lead already has an activity with this activity_key."},
    },
)
async def post_activity(
    request: Request, lead_id: LeadId, body: ActivityIn, caller: Writer, expected: Expected
) -> Response:
    """Record an activity of interest or a contact attempt; the lead is evaluated in the same request."""
    request.state.lead_id = lead_id
    return await gather(RECORD, request, caller, OfLead(lead_id, body, expected), [lead_id])


@api.get("/{lead_id}/activities", response_model=ActivityPage, responses=declared(*READ_PROBLEMS))
async def list_activities(
    lead_id: LeadId, caller: Reader, tx: InTx, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    page = Page(limit, cursor, "recorded_at", {"lead_id": lead.id})
    rows = await sql.list_activities(tx, caller.tenant_id, lead.id, page)
    return answer(page.answer(rows, lambda row: show_activity(row, lead.id)))


@api.put("/{lead_id}/bant", response_model=BantOut, responses=declared(*WRITE_PROBLEMS, HumanRequired))
async def put_bant(lead_id: LeadId, body: Bant, caller: Writer, tx: InTx, now: Now, expected: Expected) -> Response:
    """Record what the acting person confirms of budget, authority, need and timing."""
    confirmed = body.model_dump(exclude_none=True, mode="python")
    change = await confirm(tx, caller, lead_id, confirmed, expected, now)
    return answer(show_confirmations(change.lead.confirmations, now), version=change.lead.version)


@api.get("/{lead_id}/bant", response_model=BantOut, responses=declared(*READ_PROBLEMS))
async def get_bant(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """What is confirmed, by whom and when: of each criterion the latest, and the latest of each user."""
    change = await read_lead(tx, caller.tenant_id, lead_id, now)
    return answer(show_confirmations(change.lead.confirmations, now), version=change.lead.version)


@api.put("/{lead_id}/exception", response_model=LeadOut, responses=EXCEPTION_PROBLEMS)
async def put_exception(
    lead_id: LeadId, body: ExceptionIn, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Let a lead that does not fit count as in the ideal customer profile. For marketing, managers and admins."""
    change = await set_exception(tx, caller, lead_id, body.reason, body.persona, expected, now)
    return answer(show_lead(change), version=change.lead.version)


@api.delete("/{lead_id}/exception", response_model=LeadOut, responses=EXCEPTION_PROBLEMS)
async def delete_exception(lead_id: LeadId, caller: Writer, tx: InTx, now: Now, expected: Expected) -> Response:
    """Take the exception back, if there is one. For marketing, managers and admins."""
    change = await take_back_exception(tx, caller, lead_id, expected, now)
    return answer(show_lead(change), version=change.lead.version)


@api.put("/{lead_id}/consents", response_model=ConsentsPut, responses=declared(*WRITE_PROBLEMS, OutOfOrder))
async def put_lead_consents(
    lead_id: LeadId, body: ConsentsIn, caller: Privacy, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Record consents that were given, refused or withdrawn other than by a form."""
    change = await put_consents(tx, caller, lead_id, body.consents, expected, now)
    added = await sql.consents_with(tx, caller.tenant_id, [one.id for one in change.new_consents])
    shown = {"consents": change.lead.consents, "log": [show_consent(row) for row in added]}
    return answer(shown, version=change.lead.version)


@api.get("/{lead_id}/consents", response_model=ConsentsOut, responses=declared(*READ_PROBLEMS, CursorInvalid))
async def get_consents(
    lead_id: LeadId, caller: Reader, tx: InTx, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The consent state of each purpose, and the consent log with what proves each entry, oldest first."""
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    log = await consent_log(tx, caller.tenant_id, lead.id, limit, cursor)
    return answer({"consents": lead.consents, "log": [show_consent(row) for row in log.rows], "next": log.next})


@activities_api.get("/consent-purposes", response_model=ConsentPurposes)
async def list_consent_purposes(caller: Reader, tx: InTx) -> Response:
    """What consents of this tenant are for: the purposes that every tenant has, and those used besides."""
    return answer({"data": await purposes(tx, caller.tenant_id), "next": None})


@activities_api.get("/attributes", response_model=AttributeList)
async def list_attributes(caller: Reader, tx: InTx) -> Response:
    """What conditions of a policy can name: fields, custom answers that leads have, consents, and condition words."""
    return answer({"data": await attributes(tx, caller.tenant_id), "next": None})


@activities_api.post("/activities", status_code=201, response_model=ActivitiesOut)
async def post_activities(body: ActivitiesIn, caller: Writer, tx: InTx, now: Now) -> Response:
    """Record up to 500 activities of existing leads. Each result has its lead, or why nothing was recorded, also where
    the activity has a wrong form; 422 only if all have."""
    return answer({"data": await record_activities(tx, caller, body.activities, now)}, 201)


@api.get("/{lead_id}/fields", response_model=FieldList, responses=declared(*READ_PROBLEMS))
async def list_fields(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """From where each field has its value, when, and what it replaced: the submission, or who changed it."""
    return answer({"data": await field_origins(tx, caller.tenant_id, lead_id, now), "next": None})


@api.get("/{lead_id}/events", response_model=EventPage, responses=declared(*READ_PROBLEMS, *CURSOR_PROBLEMS))
async def list_events(
    lead_id: LeadId,
    caller: Reader,
    tx: InTx,
    now: Now,
    after: Annotated[str, Query(max_length=200)] = "earliest",
    limit: Limit = 50,
    include: Include = None,
) -> Response:
    """The events of one lead, in the order of their positions; of a merged lead those that it had itself."""
    caller.require(frozenset({"events:read"}))
    await read_lead(tx, caller.tenant_id, lead_id, now)
    filters = Filters(None, lead_id)
    start = await position_of(tx, caller.tenant_id, after, filters)
    reading = await feed.read(tx, caller.tenant_id, start, limit, filters, include_leads if include else None)
    return Response(reading.body(filters), media_type="application/json")


@api.get("/{lead_id}/transitions", response_model=TransitionList, responses=declared(*READ_PROBLEMS))
async def list_transitions(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """All transitions of the lead, oldest first, with actor, reason and evidence."""
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    rows = await sql.transitions_of(tx, caller.tenant_id, lead.id)
    return answer({"data": [show_transition(row) for row in rows], "next": None})


@api.get("/{lead_id}/score", response_model=ScoreOut, responses=declared(*READ_PROBLEMS))
async def get_score(lead_id: LeadId, caller: Reader, tx: InTx, now: Now, as_of: AsOf) -> Response:
    """The score with every entry, its points before and after decay, and which personas the lead matches.

    With `as_of`, what would have been answered at that instant.
    """
    at, read = (now, history.read_scored) if as_of is None else (as_of, read_as_of)
    return answer(history.show_score(await read(tx, caller.tenant_id, lead_id, at), at))


@api.get("/{lead_id}/assignment", response_model=AssignmentOut, responses=declared(*READ_PROBLEMS))
async def get_assignment(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """Who has the lead, and why: which rule of the route decided, who was in the ring, and who was not available."""
    return answer(await read_assignment(tx, caller.tenant_id, lead_id, now))


@api.get("/{lead_id}/journeys", response_model=JourneyList, responses=declared(*READ_PROBLEMS))
async def list_journeys(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    reached = await sql.milestones_of(tx, caller.tenant_id, lead.id)
    rows = await sql.journeys_of(tx, caller.tenant_id, lead.id)
    shown = [show_journey(row, [one for one in reached if one.journey_id == row.id]) for row in rows]
    return answer({"data": shown, "next": None})


@api.get("/{lead_id}/clocks", response_model=ClockRunList, responses=declared(*READ_PROBLEMS))
async def list_clocks(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """All runs of the lead's clocks, oldest first: until when something had to be done, and when it was."""
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    return answer({"data": await clock_runs(tx, caller.tenant_id, lead, now), "next": None})


@api.get("/{lead_id}/qualifications", response_model=QualificationList, responses=declared(*READ_PROBLEMS))
async def list_qualifications(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """Each time the lead became an MQL, oldest first: why, by which campaign, and what people did with it."""
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    rows = await qualifications_sql.qualifications_of(tx, caller.tenant_id, [lead.id])
    return answer({"data": [show_qualification(row) for row in rows], "next": None})


@api.get("/{lead_id}/timeline", response_model=TimelineOut, responses=declared(*READ_PROBLEMS))
async def get_timeline(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """Activities and transitions in one list, oldest first."""
    lead = (await read_lead(tx, caller.tenant_id, lead_id, now)).lead
    return answer({"data": await history.timeline(tx, caller.tenant_id, lead.id), "next": None})
