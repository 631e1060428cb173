"""/v1/leads/{id}/erasure."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from app.erasure.erase import Asked, erase, erasure_of
from app.erasure.schemas import ErasureIn, ErasureOut, show_erasure
from app.errors import ErasureNotFound, LeadNotFound, RoleNotAllowed
from app.web.auth import Caller, allowed
from app.web.fields import LeadId, answer
from app.web.problems import declared, router
from app.web.transacted import InTx, Now

api = router("/v1/leads", "leads")
Officer = Annotated[Caller, allowed("privacy")]


@api.post(
    "/{lead_id}/erasure",
    status_code=202,
    response_model=ErasureOut,
    responses=declared(LeadNotFound, RoleNotAllowed),
)
async def post_erasure(lead_id: LeadId, body: ErasureIn, caller: Officer, tx: InTx, now: Now) -> Response:
    """Erase the person, with all leads that were merged into this one; again, it answers the same.

    The history stays, without anything that names the person, and so do all numbers. A user who asks has to be a
    manager or an admin.
    """
    return answer(show_erasure(await erase(tx, caller, lead_id, Asked(body.reason, body.request_id), now)), 202)


@api.get("/{lead_id}/erasure", response_model=ErasureOut, responses=declared(LeadNotFound, ErasureNotFound))
async def get_erasure(lead_id: LeadId, caller: Officer, tx: InTx) -> Response:
    """When and why the person was erased, and since when no copy is left."""
    return answer(show_erasure(await erasure_of(tx, caller.tenant_id, lead_id)))
