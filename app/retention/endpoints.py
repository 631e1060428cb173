"""/v1/retention: for how long a tenant keeps what."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from app.errors import VersionConflict
from app.retention.run import count_due
from app.retention.schemas import RetentionOut, RetentionPreview, RetentionPut
from app.retention.settings import read_retention, set_retention, show_retention
from app.web.auth import Caller, allowed
from app.web.fields import answer
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1", "administration")
Admin = Annotated[Caller, allowed("admin")]


@api.get("/retention", response_model=RetentionOut)
async def get_retention(caller: Admin, tx: InTx) -> Response:
    """For how many days what is kept, when the next run begins, and what the latest removed."""
    row = await read_retention(tx, caller)
    return answer(show_retention(row), version=row.version)


@api.put("/retention", response_model=RetentionOut, responses=declared(VersionConflict))
async def put_retention(body: RetentionPut, caller: Admin, tx: InTx, now: Now, expected: Expected) -> Response:
    """Set for how many days what is kept. Ask what it would remove first: what was removed does not come back."""
    row = await set_retention(tx, caller, body.periods(), expected, now)
    return answer(show_retention(row), version=row.version)


@api.post("/retention/preview", response_model=RetentionPreview)
async def preview_retention(caller: Admin, tx: InTx, now: Now, body: RetentionPut | None = None) -> Response:
    """How many rows a run would remove now, with these periods or, without a body, with those that are set."""
    periods = (await read_retention(tx, caller)).retention if body is None else body.periods()
    return answer({"would_remove": await count_due(tx, caller.tenant_id, periods, now)})
