"""The stages that lists can be filtered by: those of the tenant's policies that are or were active."""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.policies import sql

PLACES: Final = {"lead": ["stages"], "opportunity": ["opportunity", "stages"]}


async def check_stage(tx: Tx, tenant_id: UUID, of: Literal["lead", "opportunity"], stage: str | None) -> None:
    """Raises RequestInvalid, with the stages there are, for a stage that no version of the tenant's policies has."""
    if stage is None:
        return
    known = await sql.stages(tx, tenant_id, PLACES[of])
    if stage not in known:
        detail = f"no policy of this tenant has a stage `{stage}`; stages are {', '.join(sorted(known))}"
        raise RequestInvalid.of("stage", "stage_unknown", detail)
