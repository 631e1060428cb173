"""/v1/leads/{id}/transitions and /eligibility."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response

from app.errors import (
    AmbiguousMatch,
    Erased,
    IdempotencyKeyRequired,
    LeadMerged,
    LeadNotFound,
    OwnerInvalid,
    VersionConflict,
)
from app.journeys.load import OfLead
from app.journeys.refusals import REFUSALS
from app.journeys.shown import show_lead
from app.transitions.ask import Moved, ask_transitions
from app.transitions.eligible import eligible_actions
from app.transitions.schemas import EligibilityOut, TransitionAnswer, TransitionCreate
from app.web.auth import Caller, allowed
from app.web.fields import LeadId, answer
from app.web.gather import Verb, gather
from app.web.problems import declared, router
from app.web.transacted import Gathered, InTx, Now
from app.web.versions import Expected

api = router("/v1/leads", "transitions")
gathered_api = router("/v1/leads", "transitions", Gathered)
Reader = Annotated[Caller, allowed("leads:read")]
Writer = Annotated[Caller, allowed("leads:write")]


def _show_moved(moved: Moved) -> Response:
    shown = {"transition": moved.transition, "lead": show_lead(moved.change)}
    if moved.conversion is not None:
        shown["conversion"] = moved.conversion
    return answer(shown, 201, version=moved.change.lead.version)


TRANSITION = Verb("transition", ask_transitions, _show_moved)


@gathered_api.post(
    "/{lead_id}/transitions",
    status_code=201,
    response_model=TransitionAnswer,
    responses=declared(
        LeadNotFound,
        Erased,
        LeadMerged,
        VersionConflict,
        OwnerInvalid,
        IdempotencyKeyRequired,
        AmbiguousMatch,
        *REFUSALS,
    ),
)
async def create_transition(
    request: Request, lead_id: LeadId, body: TransitionCreate, caller: Writer, expected: Expected
) -> Response:
    """Request an action of the policy, or a target stage. A refusal lists the conditions that are not met."""
    has_key = "idempotency-key" in request.headers
    request.state.lead_id = lead_id
    return await gather(TRANSITION, request, caller, OfLead(lead_id, body.request(), expected, has_key), [lead_id])


@api.get("/{lead_id}/eligibility", response_model=EligibilityOut, responses=declared(LeadNotFound, Erased))
async def get_eligibility(lead_id: LeadId, caller: Reader, tx: InTx, now: Now) -> Response:
    """Every action of the policy: allowed for this lead and actor, or why not, with `have` and `need`."""
    return answer(await eligible_actions(tx, caller, lead_id, now))
