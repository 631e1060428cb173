"""/v1/models, and the likelihood of a lead."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Path, Response

from app.errors import CasesMissing, Erased, LeadNotFound, ModelNotFound
from app.likelihood import sql
from app.likelihood.explain import likelihood
from app.likelihood.schemas import LikelihoodOut, ModelOut, ModelPage, ModelSummary, show_model, show_summary
from app.likelihood.train import ask_for_model
from app.web.auth import Caller, allowed
from app.web.fields import LeadId, answer
from app.web.pages import Cursor, Limit, malformed_cursor, read_cursor, write_cursor
from app.web.problems import declared, router
from app.web.transacted import InTx, Now

api = router("/v1", "likelihood")
MOST_VERSIONS: Final = 2**31 - 1
Version = Annotated[int, Path(ge=1, le=MOST_VERSIONS)]


@api.get("/leads/{lead_id}/likelihood", response_model=LikelihoodOut, responses=declared(LeadNotFound, Erased))
async def get_likelihood(
    lead_id: LeadId, caller: Annotated[Caller, allowed("leads:read")], tx: InTx, now: Now
) -> Response:
    """How likely the lead is to become a customer, by what happened to others before."""
    return answer(await likelihood(tx, caller.tenant_id, lead_id, now))


@api.post("/models", status_code=202, response_model=ModelSummary, responses=declared(CasesMissing))
async def create_model(caller: Annotated[Caller, allowed("policy:write")], tx: InTx, now: Now) -> Response:
    """Have a model trained now; the worker does so once a day by itself."""
    return answer(show_summary(await ask_for_model(tx, caller.tenant_id, now)), 202)


@api.get("/models", response_model=ModelPage)
async def list_models(
    caller: Annotated[Caller, allowed("policy:read")], tx: InTx, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    rows = await sql.models(tx, caller.tenant_id, _before(cursor), limit + 1)
    following = write_cursor(None, rows[limit - 1].version) if len(rows) > limit else None
    return answer({"data": [show_summary(row) for row in rows[:limit]], "next": following})


def _before(cursor: str | None) -> int:
    """The version that the page before ended with."""
    if cursor is None:
        return MOST_VERSIONS
    (version,) = read_cursor(cursor, None, 1)
    if type(version) is not int or not 0 < version <= MOST_VERSIONS:
        raise malformed_cursor()
    return version


@api.get("/models/{version}", response_model=ModelOut, responses=declared(ModelNotFound))
async def get_model(version: Version, caller: Annotated[Caller, allowed("policy:read")], tx: InTx) -> Response:
    row = await sql.model(tx, caller.tenant_id, version)
    if row is None:
        raise ModelNotFound()
    return answer(show_model(row))
